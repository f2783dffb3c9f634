"""Why a connection failed, in the same words for providers and stores. Pure."""

import socket
import ssl

__all__ = ["cause_of"]

MAX_CAUSES = 20  # httpx has five, one below the other


def cause_of(fault: BaseException | None) -> str | None:
    """Return the first common cause below a fault, in fixed words; None if there is none."""
    for _ in range(MAX_CAUSES):  # a user's client may raise a cycle of causes
        match fault:
            case ssl.SSLCertVerificationError(verify_message=str(reason)):
                return f"the certificate is not trusted: {reason}"
            case ssl.SSLError():
                return "TLS failed"
            case socket.gaierror():
                return "the host name can't be resolved"
            case ConnectionRefusedError():
                return "connection refused"
            case BaseExceptionGroup():  # one for each address of the host
                fault = fault.exceptions[0]
            case None:
                break
            case _:
                fault = fault.__cause__ or fault.__context__
    return None
