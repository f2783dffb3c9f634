"""What providers publish and sign, in their own forms.

Names and ids are made up; the members and claims are those that each provider has.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from auth_jwks.testing import SigningKey
from tests.issuers.sites import HOME, KEY, LOGIN, OTHER, V2, entra_key

EC_KEY = SigningKey.generate("ES256", "8f6c3f0e-3a5f-4b3c-9e0e-5b0c0c7c1d11")

OPENID = "/.well-known/openid-configuration"
AUTH0 = "https://example.eu.auth0.com/"
OKTA = "https://example.okta.com/oauth2/default"
KEYCLOAK, KEYCLOAK_INSIDE = (
    f"{host}/realms/example" for host in ("https://sso.example.com", "http://keycloak:8080")
)
ENTRA_V2, ENTRA_V1 = f"{LOGIN}/{HOME}/v2.0", f"https://sts.windows.net/{HOME}/"
ENTRA_API = "11112222-bbbb-3333-cccc-4444dddd5555"
POOL, COGNITO_CLIENT = (
    "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_EXAMPLE",
    "1example23456789",
)
GOOGLE, GOOGLE_CLIENT = "https://accounts.google.com", "1234-example.apps.googleusercontent.com"
FIREBASE = "https://securetoken.google.com/example-project"
FIREBASE_KEYS = (
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com"
)
SUPABASE = "https://example.supabase.co/auth/v1"
CLERK = "https://example.clerk.accounts.dev"
WORKOS, WORKOS_CLIENT = "https://api.workos.com", "client_01EXAMPLE"
GITHUB = "https://token.actions.githubusercontent.com"
GITLAB = "https://gitlab.com"
API_SERVER, CLUSTER = (
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
)
ADFS, ADFS_ACCESS = "https://adfs.example.com/adfs", "http://adfs.example.com/adfs/services/trust"
TEAM = "https://example.cloudflareaccess.com"

Documents = dict[str, object]


@dataclass(frozen=True)
class Signed:
    """A token: its claims, beside `iat` and `exp`, what differs in its header, and its key."""

    claims: Mapping[str, Any]
    headers: Mapping[str, Any] = field(default_factory=dict)
    key: SigningKey = KEY

    def but(self, **changes: object) -> "Signed":
        """Return one with other claims; None leaves one out."""
        return Signed({**self.claims, **changes}, self.headers, self.key)

    def __str__(self) -> str:
        now = int(time.time())
        claims = {"iat": now, "exp": now + 300, **self.claims}
        present = {name: value for name, value in claims.items() if value is not None}
        return self.key.sign(present, self.headers)


@dataclass(frozen=True)
class Shape:
    """What is published by URL, and the tokens that are accepted, by the recipe's name for it."""

    documents: Documents
    tokens: dict[str, list[Signed]]


def discovery(issuer: str, jwks_uri: str, at: str | None = None, **more: object) -> Documents:
    """Return a discovery document and the key set that it leads to."""
    document = {
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["code", "id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        **more,
    }
    return {at or f"{issuer.rstrip('/')}{OPENID}": document, jwks_uri: {"keys": [KEY.jwk()]}}


BARE = {"typ": None}  # the header of a provider that states no type

AUTH0_TOKEN = Signed(
    {
        "iss": AUTH0,
        "sub": "auth0|65f0c0ffee",
        "aud": ["https://api.example.com", f"{AUTH0}userinfo"],
        "azp": "dIYCExample",
        "scope": "openid profile read:things",
        "permissions": ["read:things"],
    }
)
OKTA_TOKEN = Signed(
    {
        "ver": 1,
        "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
        "iss": OKTA,
        "aud": "api://default",
        "cid": "0oabv6kx4qq6h1U5l0h7",
        "uid": "00ujmkLgagxeRrAg20g3",
        "scp": ["openid", "email"],
        "auth_time": 1_700_000_000,
        "sub": "alice@example.com",
    },
    BARE,
)
KEYCLOAK_TOKEN = Signed(
    {
        "jti": "onrtro:2a1f6d4e-7d4c-4c0e-9f3e-0d0f3a7d0001",
        "iss": KEYCLOAK,
        "aud": ["my-api", "account"],
        "sub": "f7f2c7a6-0c1d-4b57-9c0f-0e6b3d0f0001",
        "typ": "Bearer",
        "azp": "web",
        "sid": "c9f0f895-0001",
        "acr": "1",
        "allowed-origins": ["https://app.example.com"],
        "realm_access": {"roles": ["offline_access"]},
        "resource_access": {
            "my-api": {"roles": ["editor"]},
            "account": {"roles": ["view-profile"]},
        },
        "scope": "openid email profile",
        "email_verified": True,
        "preferred_username": "alice",
    }
)
ENTRA_TOKEN = Signed(
    {
        "aud": ENTRA_API,
        "iss": ENTRA_V2,
        "nbf": 1_700_000_000,
        "aio": "AVQAq/8XAAAA",
        "azp": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "azpacr": "0",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "rh": "0.AAAA",
        "roles": ["Things.Write"],
        "scp": "access_as_user",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": HOME,
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        "ver": "2.0",
    },
    {"x5t": KEY.kid},
)
ENTRA_V1_TOKEN = ENTRA_TOKEN.but(
    iss=ENTRA_V1, aud=f"api://{ENTRA_API}", appid="6731de76", appidacr="0", azp=None, ver="1.0"
)
COGNITO_TOKEN = Signed(
    {
        "sub": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee",
        "cognito:groups": ["admin"],
        "iss": POOL,
        "client_id": COGNITO_CLIENT,
        "origin_jti": "aaaaaaaa-0001",
        "event_id": "64f513be-32db-42b0-b78e-b02127b4f463",
        "token_use": "access",
        "scope": "aws.cognito.signin.user.admin",
        "auth_time": 1_700_000_000,
        "jti": "aaaaaaaa-0002",
        "username": "alice",
    },
    BARE,
)
COGNITO_ID_TOKEN = COGNITO_TOKEN.but(
    client_id=None, aud=COGNITO_CLIENT, token_use="id", email="alice@example.com"
)
GOOGLE_TOKEN = Signed(
    {
        "iss": GOOGLE,
        "azp": GOOGLE_CLIENT,
        "aud": GOOGLE_CLIENT,
        "sub": "110169484474386276334",
        "hd": "example.com",
        "email": "alice@example.com",
        "email_verified": True,
        "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
        "nbf": 1_700_000_000,
        "jti": "b1f2",
    }
)
FIREBASE_TOKEN = Signed(
    {
        "iss": FIREBASE,
        "aud": "example-project",
        "auth_time": 1_700_000_000,
        "user_id": "u8pXk1",
        "sub": "u8pXk1",
        "email": "alice@example.com",
        "editor": True,
        "firebase": {"identities": {"email": ["alice@example.com"]}, "sign_in_provider": "custom"},
    }
)
SUPABASE_TOKEN = Signed(
    {
        "iss": SUPABASE,
        "sub": "123e4567-e89b-12d3-a456-426614174000",
        "aud": "authenticated",
        "email": "alice@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"], "roles": ["editor"]},
        "user_metadata": {},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": 1_700_000_000}],
        "session_id": "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d",
        "is_anonymous": False,
    },
    key=EC_KEY,
)
CLERK_TOKEN = Signed(
    {
        "azp": "https://app.example.com",
        "fva": [2, -1],
        "iss": CLERK,
        "nbf": 1_700_000_000,
        "o": {"id": "org_2xExample", "slg": "example", "rol": "admin"},
        "sid": "sess_2xExample",
        "sts": "active",
        "sub": "user_2xExample",
        "v": 2,
    },
    {"cat": "cl_B7d4PD111AAA"},
)
WORKOS_TOKEN = Signed(
    {
        "iss": f"{WORKOS}/user_management/{WORKOS_CLIENT}",
        "sub": "user_01EXAMPLE",
        "org_id": "org_01EXAMPLE",
        "role": "member",
        "permissions": ["posts:read"],
        "sid": "session_01EXAMPLE",
        "jti": "01EXAMPLE",
    },
    BARE,
)
GITHUB_TOKEN = Signed(
    {
        "jti": "example-id",
        "sub": "repo:example/shop:environment:prod",
        "environment": "prod",
        "aud": "https://deploy.example.com",
        "ref": "refs/heads/main",
        "ref_type": "branch",
        "ref_protected": "true",
        "sha": "0" * 40,
        "repository": "example/shop",
        "repository_id": "1296269",
        "repository_owner": "example",
        "repository_owner_id": "583231",
        "repository_visibility": "private",
        "run_id": "30433642",
        "run_attempt": "1",
        "actor": "alice",
        "event_name": "push",
        "job_workflow_ref": "example/shop/.github/workflows/deploy.yml@refs/heads/main",
        "iss": GITHUB,
        "nbf": 1_700_000_000,
    },
    {"x5t": KEY.kid},
)
GITLAB_TOKEN = Signed(
    {
        "namespace_id": "72",
        "namespace_path": "example",
        "project_id": "22",
        "project_path": "example/shop",
        "user_id": "42",
        "user_login": "alice",
        "pipeline_id": "1212",
        "job_id": "1212",
        "ref": "main",
        "ref_type": "branch",
        "ref_path": "refs/heads/main",
        "ref_protected": "true",
        "environment": "production",
        "environment_protected": "true",
        "runner_environment": "gitlab-hosted",
        "jti": "235b3a54-b797-45c7-ae9a-f72d7bc6ef5b",
        "iss": GITLAB,
        "nbf": 1_700_000_000,
        "sub": "project_path:example/shop:ref_type:branch:ref:main",
        "aud": "https://deploy.example.com",
    }
)
KUBERNETES_TOKEN = Signed(
    {
        "aud": ["my-service"],
        "iss": CLUSTER,
        "jti": "c6a8b7c2-0001",
        "kubernetes.io": {
            "namespace": "shop",
            "pod": {"name": "web-0", "uid": "8a2f"},
            "serviceaccount": {"name": "web", "uid": "9b3f"},
        },
        "nbf": 1_700_000_000,
        "sub": "system:serviceaccount:shop:web",
    },
    BARE,
)
ADFS_TOKEN = Signed(
    {
        "aud": "microsoft:identityserver:my-api",
        "iss": ADFS_ACCESS,
        "apptype": "Public",
        "appid": "6731de76-14a6-49ae-97bc-6eba6914391e",
        "authmethod": "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "auth_time": "2026-01-02T03:04:05.678Z",
        "ver": "1.0",
        "scp": "openid things.read",
    },
    {"x5t": KEY.kid},
)
ACCESS_TOKEN = Signed(
    {
        "aud": ["4714c1358e65fe4b408ad6d432a5f878"],
        "email": "alice@example.com",
        "nbf": 1_700_000_000,
        "iss": TEAM,
        "type": "app",
        "identity_nonce": "6ei69kawdKzMIAPF",
        "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
        "country": "DE",
    }
)
SVID = Signed(
    {"aud": ["spiffe://example.org/my-api"], "sub": "spiffe://example.org/web", "iat": None},
    key=EC_KEY,
)
BUNDLE = {
    "keys": [
        EC_KEY.jwk(kid=None, use="x509-svid", alg=None, x5c=["MIIB"]),
        EC_KEY.jwk(use="jwt-svid", alg=None),
    ],
    "spiffe_sequence": 12,
    "spiffe_refresh_hint": 600,
}


SHAPES = {
    "Auth0": Shape(discovery(AUTH0, f"{AUTH0}.well-known/jwks.json"), {"jwks": [AUTH0_TOKEN]}),
    "Okta": Shape(discovery(OKTA, f"{OKTA}/v1/keys"), {"jwks": [OKTA_TOKEN]}),
    "Keycloak": Shape(
        discovery(
            KEYCLOAK_INSIDE,
            f"{KEYCLOAK_INSIDE}/protocol/openid-connect/certs",
            id_token_signing_alg_values_supported=["PS384", "RS256", "HS512"],
        )
        | {
            f"{KEYCLOAK_INSIDE}/protocol/openid-connect/certs": {
                "keys": [KEY.jwk(kid="enc", use="enc", alg="RSA-OAEP"), KEY.jwk(x5c=["MIIC"])]
            }
        },
        {"jwks": [KEYCLOAK_TOKEN, KEYCLOAK_TOKEN.but(iss=KEYCLOAK_INSIDE)]},
    ),
    "Entra ID": Shape(
        discovery(ENTRA_V2, f"{LOGIN}/{HOME}/discovery/v2.0/keys")
        | {f"{LOGIN}/{HOME}/discovery/v2.0/keys": {"keys": [entra_key(ENTRA_V2)]}},
        {"jwks": [ENTRA_TOKEN, ENTRA_V1_TOKEN]},
    ),
    "Entra ID, many tenants": Shape(
        discovery(V2, f"{LOGIN}/common/discovery/v2.0/keys", f"{LOGIN}/common/v2.0{OPENID}")
        | {f"{LOGIN}/common/discovery/v2.0/keys": {"keys": [entra_key()]}},
        {"jwks": [ENTRA_TOKEN, ENTRA_TOKEN.but(iss=f"{LOGIN}/{OTHER}/v2.0", tid=OTHER)]},
    ),
    "Cognito": Shape(
        discovery(POOL, f"{POOL}/.well-known/jwks.json"),
        {"jwks": [COGNITO_TOKEN], "id_tokens": [COGNITO_ID_TOKEN]},
    ),
    "Google": Shape(
        discovery(GOOGLE, "https://www.googleapis.com/oauth2/v3/certs"),
        {"jwks": [GOOGLE_TOKEN, GOOGLE_TOKEN.but(iss="accounts.google.com")]},
    ),
    "Firebase": Shape({FIREBASE_KEYS: {"keys": [KEY.jwk()]}}, {"jwks": [FIREBASE_TOKEN]}),
    "Supabase": Shape(
        {f"{SUPABASE}/.well-known/jwks.json": {"keys": [EC_KEY.jwk(key_ops=["verify"], ext=True)]}},
        {"jwks": [SUPABASE_TOKEN]},
    ),
    "Clerk": Shape(
        {f"{CLERK}/.well-known/jwks.json": {"keys": [KEY.jwk()]}}, {"jwks": [CLERK_TOKEN]}
    ),
    "WorkOS": Shape(
        {f"{WORKOS}/sso/jwks/{WORKOS_CLIENT}": {"keys": [KEY.jwk(x5c=["MIIC"])]}},
        {"jwks": [WORKOS_TOKEN, WORKOS_TOKEN.but(iss=WORKOS)]},
    ),
    "GitHub Actions": Shape(
        discovery(GITHUB, f"{GITHUB}/.well-known/jwks"), {"jwks": [GITHUB_TOKEN]}
    ),
    "GitLab CI": Shape(
        discovery(GITLAB, f"{GITLAB}/oauth/discovery/keys"), {"jwks": [GITLAB_TOKEN]}
    ),
    "Kubernetes": Shape(
        discovery(CLUSTER, "https://172.16.0.2:6443/openid/v1/jwks", f"{API_SERVER}{OPENID}")
        | {f"{API_SERVER}/openid/v1/jwks": {"keys": [KEY.jwk()]}},
        {"jwks": [KUBERNETES_TOKEN, KUBERNETES_TOKEN.but(iss="https://old.example.com")]},
    ),
    "ADFS": Shape(
        discovery(ADFS, f"{ADFS}/discovery/keys", access_token_issuer=ADFS_ACCESS),
        {"jwks": [ADFS_TOKEN, ADFS_TOKEN.but(iss=ADFS, sub="Z3y0", nonce="n-0S6")]},
    ),
    "Cloudflare Access": Shape(
        {
            f"{TEAM}/cdn-cgi/access/certs": {
                "keys": [KEY.jwk()],
                "public_cert": {"kid": KEY.kid, "cert": "-----BEGIN CERTIFICATE-----"},
                "public_certs": [],
            }
        },
        {"jwks": [ACCESS_TOKEN, ACCESS_TOKEN.but(email=None, sub="", common_name="1a.access")]},
    ),
    "SPIFFE": Shape({}, {"jwks": [SVID, SVID.but(iss="https://spire.example.org")]}),
}
