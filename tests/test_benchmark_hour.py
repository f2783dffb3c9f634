"""The benchmarks of an hour of tokens and of many tenants. Nothing here is timed."""

from pathlib import Path

from tests.test_benchmark_programs import held, result


def test_hour_lets_the_right_ones_in(tmp_path: Path) -> None:
    """Everybody who is installed gets the same tokens, and every answer is right."""
    printed, saved = result(tmp_path, "hour")
    libraries = saved["machine"]["libraries"].keys()
    assert libraries >= {"auth-jwks", "PyJWKClient"}
    calls = len(libraries) * 202
    assert held(saved) == {f"good ones refused, of {calls:,}": 0, f"others let in, of {calls:,}": 0}
    assert "20 RS256 tokens of 0.9 KiB, 10 times each, 5 of them in use" in printed
    notes = " ".join(saved["settings"]["notes"])
    assert "PyJWKClient: at the rotation it looks for an unknown key once in 30 s" in notes
    assert "ryjwt decode: not measured on Python " in notes
    rules = [row["rule"] for row in saved["rows"]]
    assert rules == ["exactly", "exactly", "at most", *["beside"] * (len(libraries) - 1)]


def test_tenants_are_counted(tmp_path: Path) -> None:
    """Each verifier fetches its own keys, once, and verifies the token of its own issuer."""
    printed, saved = result(tmp_path, "tenants")
    assert held(saved) == {"wrong answers": 0, "key set requests": 11}
    told = saved["settings"]["told"]
    assert told.keys() == {"auth-jwks", "PyJWKClient"}
    assert all(f"{name}: made" in printed for name in told)
