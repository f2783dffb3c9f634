-- The rules of stores/gate.py, run by Redis: each call is one atomic step.
--
-- KEYS[1]  hash: version, payload, fetched, expires, issued, failures, failed_by, window,
--          unscheduled1, unscheduled2 (when the last two searches or forced refreshes began),
--          repaired (when the last repair began)
-- KEYS[2]  string with a time to live: kind:fence:granted:renewed:ttl:holder, where kind is L for
--          a lease, F for a cool-down after its failure and M after an issuer mismatch
-- ARGV     poll, known, holder (empty: no lease requested), ttl, cause
--          commit, holder, fence, took, ttl, window, payload
--          fail, holder, fence, retry_after, 1 for a mismatch
--
-- Times are microseconds of the server's clock, as whole numbers below 2^53; anything else that
-- is stored counts as absent. Numbers are written with text(), as Lua's own formatting loses
-- digits. The limits equal those of stores/base.py; a test checks that.

local RECORD, GATE = KEYS[1], KEYS[2]
local EXACT = 9007199254740992
local DAY = 86400000000
local LEASE = 3000000
local MAX_COOLDOWN = 60000000
local MAX_STORED = 2097152
local UNSCHEDULED_LIMIT = 2
local AGREEMENT = 2
local REPAIR_INTERVAL = 300000000
local UNSCHEDULED_WINDOW = 10000000

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function text(number)
    return string.format('%.0f', number)
end

local function number(value)
    if type(value) ~= 'string' or #value > 16 or not value:match('^%d+$') then
        return 0
    end
    local parsed = tonumber(value)
    return parsed <= EXACT and parsed or 0
end

local function plausible(version)
    return version <= now + DAY and version or 0
end

-- A command on a key of another type would abort the script.
local kind = redis.call('TYPE', RECORD).ok
local fields = {}
if kind == 'hash' then
    fields = redis.call('HMGET', RECORD, 'version', 'fetched', 'expires', 'issued', 'failures',
        'window', 'unscheduled1', 'unscheduled2', 'repaired', 'failed_by')
end

local fetched, expires = number(fields[2]), number(fields[3])
local issued, failures = plausible(number(fields[4])), number(fields[5])
local window = number(fields[6])
-- 0 is a valid window; anything but a number is not.
if window == 0 and fields[6] ~= '0' then
    window = UNSCHEDULED_WINDOW
end
local version = 0
if expires > now then
    local size = redis.call('HSTRLEN', RECORD, 'payload')
    -- An empty payload is valid, a missing field is not.
    if size <= MAX_STORED and (size > 0 or redis.call('HGET', RECORD, 'payload')) then
        version = plausible(number(fields[1]))
    end
end

local function write(left, ...)
    if kind ~= 'hash' then
        redis.call('DEL', RECORD)
    end
    redis.call('HSET', RECORD, ...)
    -- The record outlives its document, for the failures and fences in it.
    redis.call('PEXPIRE', RECORD, text(math.ceil(math.max(left, DAY) / 1000)))
end

local function close(letter, fence, granted, ttl, holder)
    local value = table.concat(
        {letter, text(fence), text(granted), text(now), text(ttl), holder}, ':')
    redis.call('SET', GATE, value, 'PX', text(math.max(1, math.ceil(ttl / 1000))))
end

-- nil if there is no live lease or cool-down. One renewed in the future, or with more time left
-- than its ttl, is void: the clock was set back.
local function live()
    if redis.call('TYPE', GATE).ok ~= 'string' then
        return nil
    end
    local pattern = '^([LFM]):(%d+):(%d+):(%d+):(%d+):(.*)$'
    local letter, fence, granted, renewed, ttl, holder =
        (redis.call('GET', GATE) or ''):match(pattern)
    if not letter or number(renewed) > now then
        return nil
    end
    local left = redis.call('PTTL', GATE) * 1000
    if left < 0 or left > number(ttl) + 1000 then
        return nil
    end
    return {
        letter = letter, fence = number(fence), granted = number(granted), holder = holder,
        left = left,
    }
end

local function granted(fence)
    return {'granted', text(fence), text(failures)}
end

local function recent()
    local times = {}
    for field = 7, 8 do
        local at = number(fields[field])
        if at > 0 and at <= now and now - at < window then
            times[#times + 1] = at
        end
    end
    return times
end

-- nil when the budget for that cause is not spent, else for how long it is.
local function spent(cause)
    if cause == 'repair' then
        local repaired = number(fields[9])
        local left = repaired + REPAIR_INTERVAL - now
        return repaired > 0 and repaired <= now and left > 0 and left or nil
    end
    local times = recent()
    if cause == 'age' or #times < UNSCHEDULED_LIMIT then
        return nil
    end
    return times[1] + window - now
end

-- Whether a closed gate lets this one through, within the budget. One host must not decide what
-- the others can reach: if it takes long, a search overtakes it; its failure holds back no search
-- of theirs, nor anything until a second host has failed.
local function may_pass(gate, holder, cause)
    local is_search = cause == 'unknown_kid' or cause == 'forced'
    if gate.letter == 'L' then
        return is_search and now - gate.granted >= LEASE
    end
    if gate.holder ~= holder then
        return is_search or failures < AGREEMENT
    end
    -- A failed holder leaves the last place in the budget to those who may succeed.
    return cause == 'forced' and #recent() < UNSCHEDULED_LIMIT - 1
end

local function closed(gate)
    if gate.letter == 'L' then
        return {'busy', text(gate.left)}
    end
    return {'cooling', text(gate.left), gate.letter == 'M' and 'mismatch' or 'failed'}
end

local function lease(fence, ttl, holder, cause)
    if cause == 'age' then
        write(expires - now, 'issued', text(fence))
    elseif cause == 'repair' then
        write(expires - now, 'issued', text(fence), 'repaired', text(now))
    else
        local times = recent()
        times[#times + 1] = now
        write(expires - now, 'issued', text(fence), 'unscheduled1', text(times[1]),
            'unscheduled2', text(times[2] or 0))
    end
    close('L', fence, now, ttl, holder)
    return granted(fence)
end

local function poll(known, holder, ttl, cause)
    known = plausible(known)
    if version > known then
        local age, left = math.max(0, now - fetched), expires - now
        return {'newer', text(version), text(age), text(left), redis.call('HGET', RECORD, 'payload')}
    end
    if holder == '' then
        return {'unchanged'}
    end
    local gate = live()
    if gate and gate.letter == 'L' and gate.holder == holder then
        close('L', gate.fence, gate.granted, ttl, holder)
        return granted(gate.fence)
    end
    local left = spent(cause)
    if gate and (left or not may_pass(gate, holder, cause)) then
        return closed(gate)
    elseif left then
        return {'cooling', text(left), 'budget'}
    end
    return lease(math.max(now, issued + 1, known + 1), ttl, holder, cause)
end

-- Whether this gate is exactly that lease.
local function is_of(gate, holder, fence)
    return gate and gate.letter == 'L' and gate.holder == holder and gate.fence == fence
end

-- A lease that has lapsed or was overtaken counts as well: its fence shows that its result is
-- newer than what is stored. The gate of another holder stays closed.
local function commit(holder, fence, took, ttl, span, payload)
    local gate = live()
    local mine = is_of(gate, holder, fence)
    if fence <= version or not (mine or fence <= now) then
        return {'superseded'}
    end
    local began = math.max(0, now - took)
    write(began + ttl - now, 'version', text(fence), 'payload', payload, 'fetched', text(began),
        'expires', text(began + ttl), 'issued', text(math.max(issued, fence)), 'failures', '0',
        'failed_by', '', 'window', text(span))
    if mine or not gate then
        redis.call('DEL', GATE)
    end
    return {'stored', text(fence)}
end

-- A host that fails again and again says no more than it said at first: only the failures of
-- others after it are counted.
local function fail(holder, fence, retry_after, mismatch)
    local gate = live()
    if is_of(gate, holder, fence) then
        local count = failures + (fields[10] ~= holder and 1 or 0)
        write(expires - now, 'failures', text(count), 'failed_by', holder)
        close(mismatch and 'M' or 'F', fence, now, math.min(retry_after, MAX_COOLDOWN), holder)
    end
    return {'noted'}
end

local function answer()
    if ARGV[1] == 'poll' then
        return poll(number(ARGV[2]), ARGV[3], number(ARGV[4]), ARGV[5])
    elseif ARGV[1] == 'commit' then
        return commit(ARGV[2], number(ARGV[3]), number(ARGV[4]), number(ARGV[5]),
            number(ARGV[6]), ARGV[7])
    end
    return fail(ARGV[2], number(ARGV[3]), number(ARGV[4]), ARGV[5] == '1')
end

local done, reply = pcall(answer)
if done then
    return reply
end
-- Each release has its own wording for a command that a script may not run. 6.2 raises a string,
-- with the code of the error inside it.
local words = type(reply) == 'table' and reply.err or reply
if words:find("can't run this command") or words:find('ACL failure') then
    return redis.error_reply('NOPERM the script lacks a right')
end
return redis.error_reply(words:match('%-(%u+ .*)') or words)
