"""What further providers publish and sign, in their own forms. Names and ids are made up."""

from tests.issuers.shapes import ENTRA_API, ENTRA_TOKEN, OPENID, Shape, Signed, discovery
from tests.issuers.sites import HOME, KEY

EXTERNAL_ID = f"https://{HOME}.ciamlogin.com/{HOME}/v2.0"
EXTERNAL_ID_HOST = f"https://example.ciamlogin.com/{HOME}"
B2C = f"https://example.b2clogin.com/{HOME}/v2.0/"
B2C_POLICY = "https://example.b2clogin.com/example.onmicrosoft.com/B2C_1_sign_in"
CONNECT = "https://example.authkit.app"
ORY = "https://example.projects.oryapis.com"
ZITADEL, ZITADEL_PROJECT = "https://example.zitadel.cloud", "270000000000000001"
AUTHENTIK = "https://authentik.example.com/application/o/shop/"
AUTHENTIK_CLIENT = "ShopExampleClientId"

EXTERNAL_ID_TOKEN = ENTRA_TOKEN.but(iss=EXTERNAL_ID)
B2C_TOKEN = Signed(
    {
        "aud": ENTRA_API,
        "iss": B2C,
        "nbf": 1_700_000_000,
        "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "scp": "access_as_user",
        "sub": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "tfp": "B2C_1_sign_in",
        "ver": "1.0",
    }
)
ORY_TOKEN = Signed(
    {
        "aud": ["https://api.example.com"],
        "client_id": "0f0c8a5e-0001",
        "ext": {},
        "iss": ORY,
        "jti": "7f6a1f0e-0001",
        "nbf": 1_700_000_000,
        "scp": ["openid", "things:read"],
        "sub": "8d2a4f1c-0001",
    }
)
ZITADEL_TOKEN = Signed(
    {
        "aud": ["270000000000000002", ZITADEL_PROJECT],
        "iss": ZITADEL,
        "jti": "V2_270000000000000003-at_270000000000000004",
        "nbf": 1_700_000_000,
        "sub": "270000000000000005",
        "urn:zitadel:iam:org:project:roles": {"editor": {"270000000000000006": "example.com"}},
    }
)
AUTHENTIK_TOKEN = Signed(
    {
        "iss": AUTHENTIK,
        "sub": "8f4b6a2d0001",
        "aud": AUTHENTIK_CLIENT,
        "auth_time": 1_700_000_000,
        "acr": "goauthentik.io/providers/oauth2/default",
        "azp": AUTHENTIK_CLIENT,
        "uid": "aUid0001",
        "email": "alice@example.com",
        "email_verified": True,
        "name": "Alice Ash",
        "preferred_username": "alice",
        "groups": ["editors"],
    }
)

CONNECT_TOKEN = Signed(
    {
        "iss": CONNECT,
        "aud": "https://mcp.example.com/mcp",
        "sub": "user_01EXAMPLE",
        "client_id": "client_01OTHER",
        "org_id": "org_01EXAMPLE",
        "sid": "app_consent_01EXAMPLE",
        "scope": "openid profile",
        "jti": "01EXAMPLE",
    }
)

MORE_SHAPES = {
    "WorkOS Connect": Shape(
        {f"{CONNECT}/oauth2/jwks": {"keys": [KEY.jwk()]}}, {"jwks": [CONNECT_TOKEN]}
    ),
    "External ID": Shape(
        discovery(
            EXTERNAL_ID,
            f"{EXTERNAL_ID_HOST}/discovery/v2.0/keys",
            f"{EXTERNAL_ID_HOST}/v2.0{OPENID}",
        ),
        {"jwks": [EXTERNAL_ID_TOKEN]},
    ),
    "Azure AD B2C": Shape(
        discovery(B2C, f"{B2C_POLICY.lower()}/discovery/v2.0/keys", f"{B2C_POLICY}/v2.0{OPENID}"),
        {"jwks": [B2C_TOKEN]},
    ),
    "Ory": Shape(discovery(ORY, f"{ORY}/.well-known/jwks.json"), {"jwks": [ORY_TOKEN]}),
    "Zitadel": Shape(discovery(ZITADEL, f"{ZITADEL}/oauth/v2/keys"), {"jwks": [ZITADEL_TOKEN]}),
    "Authentik": Shape(discovery(AUTHENTIK, f"{AUTHENTIK}jwks/"), {"jwks": [AUTHENTIK_TOKEN]}),
}
