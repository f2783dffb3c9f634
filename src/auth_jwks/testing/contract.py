"""The suite that every `KeyStore` must pass, as a class to inherit from under pytest.

Its tests are named after the lines of the contract: a errors, b payloads and versions, c polls,
d leases, e fences, f commits, g cool-downs and budgets, h cancellation. One more test tries all
of them at random.
"""

from auth_jwks.testing._budgets import Budgets
from auth_jwks.testing._documents import Documents
from auth_jwks.testing._interleavings import Interleavings
from auth_jwks.testing._leases import Leases

__all__ = ["KeyStoreContract"]


class KeyStoreContract(Documents, Leases, Budgets, Interleavings):
    """Inherit from it, name the class `Test...` and define `rig`. Plain pytest runs it.

    `impossible` names capabilities that a store of this kind can't have; their tests are left
    out. `examples` is the number of random sequences.
    """
