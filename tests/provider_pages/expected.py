"""What each page of docs/providers is held to: documents, tokens, and what goes wrong with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from auth_jwks.testing import SigningKey
from tests.issuers import shapes
from tests.issuers.shapes import SHAPES, Documents, Signed
from tests.issuers.sites import HOME, KEY, LOGIN, OTHER
from tests.provider_pages import more_shapes
from tests.provider_pages.more_shapes import MORE_SHAPES

ONLY = "The verifier"
GUARD = "Scopes and roles"


@dataclass(frozen=True)
class Mistake:
    """A token that the verifier of a section refuses, or the one that the mistake itself shows."""

    token: Signed | str
    section: str = ONLY
    documents: Documents = field(default_factory=dict)  # published in the place of the page's


@dataclass(frozen=True)
class Page:
    """A page's tokens, by the section that has their verifier.

    `shapes` says where each section's documents and tokens are: the name of a shape, and that of
    its verifier. `denied` are tokens that are good and not granted what the section's guard wants,
    `refused` are others of the same provider.
    """

    shapes: Mapping[str, tuple[str, str]]
    mistakes: Mapping[str, Mistake]
    denied: Mapping[str, Signed] = field(default_factory=dict)
    refused: tuple[tuple[str, Signed], ...] = ()

    @property
    def documents(self) -> Documents:
        """All that is published, by URL."""
        names = [name for name, _ in self.shapes.values()]
        return {url: it for name in names for url, it in ALL_SHAPES[name].documents.items()}

    def accepted(self, section: str) -> list[Signed]:
        """Return the tokens that a section's verifier accepts."""
        name, verifier = self.shapes[section]
        return ALL_SHAPES[name].tokens[verifier]


ALL_SHAPES = SHAPES | MORE_SHAPES

# What Auth0 issues without an audience, and what others issue instead of a JWT.
ENCRYPTED = "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..aXY.Y2lwaGVy.dGFn"
OPAQUE = "b7kExampleOfAnOpaqueToken"
OPAQUE_OF_ORY = "ory_at_ExampleOfAnOpaque.Token"

# Another server of the same provider signs with keys of its own.
OTHER_KEY = SigningKey.generate("RS256", "another")
ORGANIZATION = "https://example.okta.com"
ORGANIZATION_S_TOKEN = Signed(
    {**shapes.OKTA_TOKEN.claims, "iss": ORGANIZATION, "aud": ORGANIZATION},
    shapes.BARE,
    OTHER_KEY,
)
SIGN_IN_TOKEN = Signed(shapes.GOOGLE_TOKEN.claims, key=OTHER_KEY)
OKTA_ID_TOKEN = shapes.OKTA_TOKEN.but(
    aud="0oabv6kx4qq6h1U5l0h7", cid=None, scp=None, uid=None, amr=["pwd"], idp="00o1"
)
GRAPH_TOKEN = Signed(
    {**shapes.ENTRA_V1_TOKEN.claims, "aud": "00000003-0000-0000-c000-000000000000"},
    {"x5t": KEY.kid, "nonce": "aNonce"},
    # Graph's tokens are signed over something else than what they hold.
    SigningKey.generate("RS256", KEY.kid),
)
SHARED_SECRET = {"alg": "HS256"}
SUPABASE_KEYS = f"{shapes.SUPABASE}/.well-known/jwks.json"

PAGES = {
    "auth0": Page(
        {ONLY: ("Auth0", "jwks")},
        {
            "The issuer without its slash": Mistake(shapes.AUTH0_TOKEN),
            "A token that was requested without an audience": Mistake(ENCRYPTED),
        },
        {GUARD: shapes.AUTH0_TOKEN.but(permissions=[])},
    ),
    "okta": Page(
        {ONLY: ("Okta", "jwks")},
        {
            "A token of the organization's own server": Mistake(ORGANIZATION_S_TOKEN),
            "An ID token instead of an access token": Mistake(OKTA_ID_TOKEN),
        },
        {GUARD: shapes.OKTA_TOKEN.but(scp=["openid"])},
    ),
    "keycloak": Page(
        {ONLY: ("Keycloak", "jwks")},
        {
            "The audience is `account`": Mistake(shapes.KEYCLOAK_TOKEN.but(aud="account")),
            "The public and the internal name": Mistake(shapes.KEYCLOAK_TOKEN),
            "Tokens without `sub`": Mistake(shapes.KEYCLOAK_TOKEN.but(sub=None)),
        },
        {GUARD: shapes.KEYCLOAK_TOKEN.but(resource_access={"account": {"roles": ["editor"]}})},
    ),
    "entra": Page(
        {
            "One tenant": ("Entra ID", "jwks"),
            "Several tenants": ("Entra ID, many tenants", "jwks"),
            "External ID": ("External ID", "jwks"),
            "Azure AD B2C": ("Azure AD B2C", "jwks"),
        },
        {
            "A token of version 1": Mistake(shapes.ENTRA_V1_TOKEN),
            "A token for Microsoft Graph": Mistake(GRAPH_TOKEN, "One tenant"),
            "`common` as the issuer": Mistake(shapes.ENTRA_TOKEN),
        },
        {GUARD: shapes.ENTRA_TOKEN.but(roles=["Things.Read"])},
        (
            ("One tenant", shapes.ENTRA_TOKEN.but(iss=f"{LOGIN}/{OTHER}/v2.0", tid=OTHER)),
            (
                "Several tenants",
                shapes.ENTRA_TOKEN.but(iss=f"{LOGIN}/{HOME[:-1]}0/v2.0", tid=f"{HOME[:-1]}0"),
            ),
            ("External ID", more_shapes.EXTERNAL_ID_TOKEN.but(iss=shapes.ENTRA_V2)),
            ("Azure AD B2C", more_shapes.B2C_TOKEN.but(tfp="B2C_1_reset")),
        ),
    ),
    "cognito": Page(
        {"Access tokens": ("Cognito", "jwks"), "ID tokens": ("Cognito", "id_tokens")},
        {
            "An audience for access tokens": Mistake(shapes.COGNITO_TOKEN),
            "An ID token at the API": Mistake(shapes.COGNITO_ID_TOKEN, "Access tokens"),
        },
        {GUARD: shapes.COGNITO_TOKEN.but(**{"cognito:groups": ["readers"]})},
        (
            ("ID tokens", shapes.COGNITO_TOKEN),
            ("Access tokens", shapes.COGNITO_TOKEN.but(client_id="other")),
        ),
    ),
    "google": Page(
        {"Google": ("Google", "jwks"), "Firebase": ("Firebase", "jwks")},
        {
            "An access token of Google": Mistake("ya29.a0AfExampleOfAnAccessToken", "Google"),
            "One name of the issuer": Mistake(shapes.GOOGLE_TOKEN.but(iss="accounts.google.com")),
            "Google's ID token at a Firebase backend": Mistake(SIGN_IN_TOKEN, "Firebase"),
        },
        {
            GUARD: shapes.GOOGLE_TOKEN.but(hd=None),
            "Firebase": shapes.FIREBASE_TOKEN.but(editor=False),
        },
        (
            (
                "Firebase",
                shapes.FIREBASE_TOKEN.but(iss="https://securetoken.google.com/other", aud="other"),
            ),
        ),
    ),
    "supabase": Page(
        {ONLY: ("Supabase", "jwks")},
        {
            "The project signs with its shared secret": Mistake(
                Signed(shapes.SUPABASE_TOKEN.claims, SHARED_SECRET, shapes.EC_KEY)
            ),
            "The project publishes no key": Mistake(
                shapes.SUPABASE_TOKEN, documents={SUPABASE_KEYS: {"keys": []}}
            ),
        },
        {GUARD: shapes.SUPABASE_TOKEN.but(app_metadata={}, user_metadata={"roles": ["editor"]})},
        ((ONLY, shapes.SUPABASE_TOKEN.but(aud="anon")),),
    ),
    "clerk": Page(
        {ONLY: ("Clerk", "jwks")},
        {
            "An audience for session tokens": Mistake(shapes.CLERK_TOKEN),
            "A page of another origin": Mistake(
                shapes.CLERK_TOKEN.but(azp="http://localhost:3000")
            ),
        },
        {GUARD: shapes.CLERK_TOKEN.but(o=None)},
        ((ONLY, shapes.CLERK_TOKEN.but(azp=None)),),
    ),
    "workos": Page(
        {ONLY: ("WorkOS", "jwks"), "Connect and MCP": ("WorkOS Connect", "jwks")},
        {
            "An audience for access tokens": Mistake(shapes.WORKOS_TOKEN),
            "The other issuer": Mistake(shapes.WORKOS_TOKEN),
        },
        {GUARD: shapes.WORKOS_TOKEN.but(permissions=[])},
        (
            (ONLY, more_shapes.CONNECT_TOKEN),
            ("Connect and MCP", shapes.WORKOS_TOKEN),
            ("Connect and MCP", more_shapes.CONNECT_TOKEN.but(aud=shapes.WORKOS_CLIENT)),
        ),
    ),
    "github-actions": Page(
        {ONLY: ("GitHub Actions", "jwks")},
        {
            "The default audience": Mistake(
                shapes.GITHUB_TOKEN.but(aud="https://github.com/example")
            ),
            "A pull request": Mistake(
                shapes.GITHUB_TOKEN.but(
                    ref="refs/pull/7/merge", sub="repo:example/shop:pull_request"
                )
            ),
        },
        {GUARD: shapes.GITHUB_TOKEN.but(environment=None)},
        (
            (ONLY, shapes.GITHUB_TOKEN.but(repository_id="1")),
            (ONLY, shapes.GITHUB_TOKEN.but(repository_id=1296269)),
        ),
    ),
    "gitlab": Page(
        {ONLY: ("GitLab CI", "jwks")},
        {
            "A boolean that is a string": Mistake(shapes.GITLAB_TOKEN),
            "The audience with a slash": Mistake(
                shapes.GITLAB_TOKEN.but(aud="https://deploy.example.com/")
            ),
        },
        {GUARD: shapes.GITLAB_TOKEN.but(environment=None)},
        (
            (ONLY, shapes.GITLAB_TOKEN.but(project_id="23")),
            (ONLY, shapes.GITLAB_TOKEN.but(ref_protected="false")),
        ),
    ),
    "kubernetes": Page(
        {ONLY: ("Kubernetes", "jwks")},
        {
            "Discovery wants credentials": Mistake(shapes.KUBERNETES_TOKEN),
            "The token that every pod has": Mistake(
                shapes.KUBERNETES_TOKEN.but(aud=["https://kubernetes.default.svc.cluster.local"])
            ),
        },
        {GUARD: shapes.KUBERNETES_TOKEN.but(sub="system:serviceaccount:shop:other")},
    ),
    "cloudflare": Page(
        {ONLY: ("Cloudflare Access", "jwks")},
        {
            "The tag of another application": Mistake(shapes.ACCESS_TOKEN.but(aud=["0" * 32])),
            "The application's own domain as the issuer": Mistake(shapes.ACCESS_TOKEN),
        },
    ),
    "adfs": Page(
        {ONLY: ("ADFS", "jwks")},
        {
            "One name of the issuer": Mistake(shapes.ADFS_TOKEN),
            "Access tokens without `sub`": Mistake(shapes.ADFS_TOKEN),
        },
        {GUARD: shapes.ADFS_TOKEN.but(scp="openid")},
    ),
    "ory": Page(
        {ONLY: ("Ory", "jwks")},
        {
            "An opaque token": Mistake(OPAQUE_OF_ORY),
            "A token without an audience": Mistake(more_shapes.ORY_TOKEN.but(aud=[])),
        },
        {GUARD: more_shapes.ORY_TOKEN.but(scp=["openid"])},
    ),
    "zitadel": Page(
        {ONLY: ("Zitadel", "jwks")},
        {
            "An opaque token": Mistake(OPAQUE),
            "The project is not in the audience": Mistake(
                more_shapes.ZITADEL_TOKEN.but(aud=["270000000000000002"])
            ),
        },
        {
            GUARD: more_shapes.ZITADEL_TOKEN.but(
                **{"urn:zitadel:iam:org:project:roles": {"reader": {"1": "example.com"}}}
            )
        },
    ),
    "authentik": Page(
        {ONLY: ("Authentik", "jwks")},
        {
            "No signing key is selected": Mistake(
                Signed(more_shapes.AUTHENTIK_TOKEN.claims, SHARED_SECRET)
            ),
            "The issuer without its slash": Mistake(more_shapes.AUTHENTIK_TOKEN),
        },
        {GUARD: more_shapes.AUTHENTIK_TOKEN.but(groups=[])},
    ),
    "spiffe": Page(
        {ONLY: ("SPIFFE", "jwks")},
        {
            "`iat` is required": Mistake(shapes.SVID),
            "An issuer is expected": Mistake(shapes.SVID),
        },
        {GUARD: shapes.SVID.but(sub="spiffe://example.org/batch")},
    ),
}
