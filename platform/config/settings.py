"""Every setting of Switchyard, read here and nowhere else; `.env.example` says what each variable means."""

import warnings
from datetime import timedelta
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import oauth
from config.openapi_text import DESCRIPTION
from devserver import embedded_postgres
from kit import __version__, cors, env, logs

BASE_DIR = Path(__file__).resolve().parents[2]
DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / ".data"))).resolve()

# --- the installation ---------------------------------------------------------------------------
# DEBUG=1 is development: everything works with an empty environment. Django's debug pages are a separate
# setting, so that developers see the product's error pages by default.
DEVELOPMENT = env.boolean("DEBUG", True)
DEBUG = DEVELOPMENT and env.boolean("TRACEBACKS", False)
SECRET_KEY = env.text("SECRET_KEY", "development-only-key-that-production-refuses" if DEVELOPMENT else "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set SECRET_KEY: it is required with DEBUG=0.")
if not DEVELOPMENT and len(SECRET_KEY) < 32:
    raise ImproperlyConfigured("SECRET_KEY needs at least 32 characters.")
# Encrypts secrets at rest, newest first. Set separately, it survives a change of SECRET_KEY.
ENCRYPTION_KEYS = env.listing("ENCRYPTION_KEYS", [SECRET_KEY])
if not DEVELOPMENT and any(len(key) < 32 for key in ENCRYPTION_KEYS):
    raise ImproperlyConfigured("Each of ENCRYPTION_KEYS needs at least 32 characters.")
ALLOWED_HOSTS = env.listing("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"] if DEVELOPMENT else [])
if not ALLOWED_HOSTS:
    raise ImproperlyConfigured("Set ALLOWED_HOSTS to the host names of this installation.")
CSRF_TRUSTED_ORIGINS = env.listing("CSRF_TRUSTED_ORIGINS", [])
CORS_ALLOWED_ORIGINS = cors.checked_origins(env.listing("CORS_ALLOWED_ORIGINS", []))
BEHIND_PROXY = env.boolean("BEHIND_PROXY", False)  # one trusted proxy sets X-Forwarded-For and -Proto
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
LOGGING = logs.configure(json=not DEVELOPMENT, level=env.text("LOG_LEVEL", "INFO"))

# --- apps: shared ones are in the public schema, tenant ones only in tenants' schemas -----------
SHARED_APPS = [
    "daphne",
    "accounts",  # before django_tenants: its `migrate` also migrates the template schema
    "config.admin_app.OperatorAdminConfig",  # before it too: its templates have inline styles
    "config",  # before it too: our `create_tenant` replaces its own
    "django_tenants",
    "quotas",
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "allauth.headless",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.google",
    "allauth.socialaccount.providers.github",
    "allauth.socialaccount.providers.microsoft",
    "allauth.socialaccount.providers.openid_connect",
    "rest_framework",
    "rest_framework_simplejwt",
    "rest_framework_simplejwt.token_blacklist",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    "django_htmx",
    "csp",
    "procrastinate.contrib.django",
]
TENANT_APPS = ["workspaces", "gateway"]
INSTALLED_APPS = SHARED_APPS + TENANT_APPS
TENANT_MODEL = "accounts.Tenant"
TENANT_DOMAIN_MODEL = "accounts.Domain"
TEMPLATE_SCHEMA = "tenant_template"  # migrated before the tenants; a new tenant is a copy of it

MIDDLEWARE = [
    "kit.middleware.RequestMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.RequestLimitMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "accounts.sign_in.sessions.SeenMiddleware",
    "accounts.sign_in.known_devices.KnownDeviceMiddleware",
    "accounts.sign_in.app_bodies.AppBodiesMiddleware",
    "accounts.sign_in.atomic_allauth.AtomicAllauthMiddleware",
    "accounts.sign_in.external_redirect.ExternalRedirectMiddleware",
    "accounts.sign_in.passkey_errors.PasskeyErrorsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "accounts.middleware.WorkspaceMiddleware",
    "config.operators.OperatorMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "config.context.frame",
            ]
        },
    }
]

# --- database -----------------------------------------------------------------------------------
POSTGRES_DIR = Path(env.text("POSTGRES_DIR", str(DATA_DIR / "postgres"))).resolve()
DATABASE_URL = env.text("DATABASE_URL") or embedded_postgres.start(POSTGRES_DIR)
TENANCY_THREADS = env.integer("TENANCY_THREADS", 12, at_least=1)
DATABASE_POOL_SIZE = env.integer("DATABASE_POOL_SIZE", 24, at_least=2)
_database = env.database(DATABASE_URL)
# Detects a vanished database server after half a minute instead of hours.
_ALIVE = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
DATABASES = {
    "default": {
        "ENGINE": "kit.postgresql",
        **_database,
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_ALIVE,
            **_database["OPTIONS"],
            "pool": {"min_size": 1, "max_size": DATABASE_POOL_SIZE, "timeout": 10},
        },
    }
}
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
REDIS_URL = env.text("REDIS_URL")
WEB_CONCURRENCY = env.integer("WEB_CONCURRENCY", 1, at_least=1)
CACHES = {
    "default": {"BACKEND": "kit.shared_cache.ForgivingRedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        # Beyond this the oldest are dropped, including the counters of limits.
        "OPTIONS": {"MAX_ENTRIES": 50_000},
    }
}

# --- mail ----------------------------------------------------------------------------------------
EMAIL_HOST = env.text("EMAIL_HOST")
EMAIL_PORT = env.integer("EMAIL_PORT", 587, at_least=1)
EMAIL_HOST_USER = env.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = env.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = env.boolean("EMAIL_USE_TLS", True)
DEFAULT_FROM_EMAIL = env.text("DEFAULT_FROM_EMAIL", "Switchyard <switchyard@localhost>")
EMAIL_TIMEOUT = env.integer("EMAIL_TIMEOUT_SECONDS", 20, at_least=1)
# Mail is queued, and a job sends it. Without a mail server, development shows it in the terminal and on
# /mail, and production drops it, because its links are secrets.
EMAIL_BACKEND = "accounts.mail.queue.QueueBackend"
_mailer = "smtp" if EMAIL_HOST else "console" if DEVELOPMENT else "dummy"
MAIL_BACKEND = f"django.core.mail.backends.{_mailer}.EmailBackend"

# --- identity -----------------------------------------------------------------------------------
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
# optional: people can sign in before they verify their address; mandatory: they must verify it first.
_verification = "mandatory" if EMAIL_HOST and not DEVELOPMENT else "optional"
EMAIL_VERIFICATION = env.choice("EMAIL_VERIFICATION", _verification, ("optional", "mandatory", "none"))
ACCOUNT_ADAPTER = "accounts.sign_in.adapter.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = EMAIL_VERIFICATION
ACCOUNT_LOGIN_ON_EMAIL_CONFIRMATION = True  # only in the browser that signed up
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_MAX_EMAIL_ADDRESSES = 5
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_FORMS = {"signup": "workspaces.onboarding_form.SignUpForm"}
ACCOUNT_LOGOUT_ON_GET = False
SIGNUPS_PER_MINUTE = env.integer("SIGNUPS_PER_MINUTE", 10, at_least=1)
TOKENS_PER_MINUTE = env.integer("TOKENS_PER_MINUTE", 30, at_least=1)
ACCOUNT_RATE_LIMITS = {  # attempts / period / per
    "login": None,  # passwords and codes: accounts.sign_in.guesses
    "login_failed": None,
    "signup": f"{SIGNUPS_PER_MINUTE}/m/ip",
    "reset_password": "10/m/ip",  # and accounts.mail.limits for each address
    "reset_password_from_key": "20/m/ip",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
    "manage_email": "10/m/user",
    "confirm_email": "1/3m/key",
}
SOCIALACCOUNT_ADAPTER = "accounts.sign_in.social.SocialAdapter"
SOCIALACCOUNT_EMAIL_AUTHENTICATION = True  # accounts.sign_in.social has the conditions
SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
SOCIALACCOUNT_PROVIDERS = oauth.providers(
    google=oauth.client("GOOGLE", env.text("GOOGLE_CLIENT_ID"), env.text("GOOGLE_CLIENT_SECRET")),
    github=oauth.client("GITHUB", env.text("GITHUB_CLIENT_ID"), env.text("GITHUB_CLIENT_SECRET")),
    microsoft=oauth.client("MICROSOFT", env.text("MICROSOFT_CLIENT_ID"), env.text("MICROSOFT_CLIENT_SECRET")),
    microsoft_tenant=env.text("MICROSOFT_TENANT", "common"),
    issuers=env.objects("OIDC_PROVIDERS"),
)
MFA_ADAPTER = "accounts.sign_in.mfa.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes", "webauthn"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_TOLERANCE = 1  # a phone's clock may be half a minute off
# An unverified account must not use MFA: it could lock out the real owner of the address. Where addresses are
# not verified, or no mail can be sent, unverified accounts may, or no one could use MFA.
MFA_ALLOW_UNVERIFIED_EMAIL = EMAIL_VERIFICATION == "none" or not (EMAIL_HOST or DEVELOPMENT)
ADMIN_TWO_FACTOR = env.boolean("ADMIN_TWO_FACTOR", not DEVELOPMENT)
# Called with the user, in the same transaction, when recovering an account ends what others may have added.
ACCESS_REMOVED_HOOKS = ["workspaces.membership_events.forget_all_sign_ins"]
USERSESSIONS_ADAPTER = "accounts.sign_in.sessions.SessionsAdapter"
USERSESSIONS_TRACK_ACTIVITY = True
HEADLESS_ADAPTER = "accounts.sign_in.headless.HeadlessAdapter"
HEADLESS_CLIENTS = ["app"]
HEADLESS_TOKEN_STRATEGY = "accounts.sign_in.app_tokens.AppTokens"  # noqa: S105
ALLAUTH_TRUSTED_PROXY_COUNT = 1 if BEHIND_PROXY else 0
LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
TEAMS_PER_PERSON = env.integer("TEAMS_PER_PERSON", 10, at_least=1)
TEAMS_PER_NETWORK_PER_DAY = env.integer("TEAMS_PER_NETWORK_PER_DAY", 1000 if DEVELOPMENT else 50, at_least=1)
REQUESTS_PER_MINUTE = env.integer("REQUESTS_PER_MINUTE", 6000, at_least=10)  # per person, everywhere
API_KEY_REQUESTS_PER_MINUTE = env.integer("API_KEY_REQUESTS_PER_MINUTE", 600, at_least=1)  # per key
INVITATIONS_PER_DAY = env.integer("INVITATIONS_PER_DAY", 100, at_least=1)  # emails per team and 24 hours
INVITATIONS_PER_RECIPIENT_PER_DAY = env.integer("INVITATIONS_PER_RECIPIENT_PER_DAY", 3, at_least=1)
GRACE_DAYS = env.integer("GRACE_DAYS", 30, at_least=0)  # before a deletion is final
_host = ALLOWED_HOSTS[0].lstrip(".")
_site = f"http://localhost:{env.integer('PORT', 8000)}" if DEVELOPMENT else f"https://{_host}"
SITE_URL = env.text("SITE_URL", _site).rstrip("/")
if "*" in SITE_URL:
    raise ImproperlyConfigured("Set SITE_URL: ALLOWED_HOSTS has no host name for links in emails.")
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.integer("ACCESS_TOKEN_MINUTES", 60, at_least=1)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.integer("REFRESH_TOKEN_DAYS", 30, at_least=1)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "UPDATE_LAST_LOGIN": False,
    "USER_ID_CLAIM": "userId",
}
SESSION_ENGINE = "accounts.sign_in.session_store"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
if not DEVELOPMENT:
    SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = env.boolean("HTTPS", True)
    SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
    SECURE_HSTS_SECONDS = 31_536_000 if SECURE_SSL_REDIRECT else 0
    if BEHIND_PROXY:
        SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
CONTENT_SECURITY_POLICY = {
    # drf-spectacular's docs use its own static files. No remote images.
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- REST ---------------------------------------------------------------------------------------
MAX_BODY_BYTES = env.integer("MAX_BODY_BYTES", 1_000_000, at_least=1_000)
# Of the routes that answer a model call, and of chat/send: long histories, images and documents.
MODEL_CALL_MAX_BODY_BYTES = env.integer("MODEL_CALL_MAX_BODY_BYTES", 32_000_000, at_least=1_000)
BODY_SECONDS = env.integer("BODY_SECONDS", 30, at_least=1)  # to send a body; a large one gets more time
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["kit.rest_parsers.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "kit.rest_parsers.JsonAlways",
    "NUM_PROXIES": 1 if BEHIND_PROXY else 0,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "kit.api.handle_exception",
    "UNAUTHENTICATED_USER": None,
}
THROTTLE_PER_MINUTE = {  # per address
    "token": TOKENS_PER_MINUTE,
    "signup": SIGNUPS_PER_MINUTE,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Switchyard",
    "VERSION": __version__,
    "DESCRIPTION": DESCRIPTION,
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/v1",
    "ENUM_NAME_OVERRIDES": {
        "TenantRole": "accounts.inputs.GIVEN_ROLES",
        "ModelKind": "workspaces.language_models.models.LanguageModel.Kind",
        "WorkspaceRole": "accounts.inputs.WORKSPACE_ROLES",
    },
    "PREPROCESSING_HOOKS": ["config.openapi.add_consumer_routes"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "config.openapi.add_components",
        "config.openapi.describe_defaults",
        "config.openapi.add_errors",
        "config.openapi.close_bodies",
        "config.openapi_examples.add_examples",
    ],
}

# --- the turn -----------------------------------------------------------------------------------
ENGINE = env.text("ENGINE", "direct")
TURN_LEASE_SECONDS = env.integer("TURN_LEASE_SECONDS", 15, at_least=1)
TURN_PROGRESS_SECONDS = 2  # between two writes of a running turn's reply, and lease renewals
TURN_MAX_SECONDS = env.integer("TURN_MAX_SECONDS", 600, at_least=1)
GRACE = env.integer("GRACE", 30)  # seconds that running turns get when their process stops
TURN_MAX_CALLS = env.integer("TURN_MAX_CALLS", 25, at_least=1)  # model calls per turn
MAX_RUNNING_TURNS = env.integer("MAX_RUNNING_TURNS", 384, at_least=1)  # per process, over all teams
WORKSPACE_TOKENS_PER_MONTH = env.integer("WORKSPACE_TOKENS_PER_MONTH", 1_000_000)
CURRENCY = env.text("CURRENCY", "USD")

# --- the engine ---------------------------------------------------------------------------------
LIBRECHAT_URL = env.text("LIBRECHAT_URL")
EGRESS_URL = env.text("EGRESS_URL", "http://127.0.0.1:8002")  # where LibreChat reaches our egress
EGRESS_HEALTH_URL = env.text("EGRESS_HEALTH_URL")  # for web's health check of the egress; `none` disables it
# The first is written into LibreChat's configuration; the others stay valid during a rotation. The default
# of development is too short for production, which refuses it.
EGRESS_SECRETS = env.listing("EGRESS_SECRETS", ["development-only-secret"] if DEVELOPMENT else [])
MONGO_PASSWORD = env.text("MONGO_PASSWORD")  # of the stack's MongoDB; used by `librechat_config`
EGRESS_MAX_BODY_BYTES = env.integer("EGRESS_MAX_BODY_BYTES", 20_000_000, at_least=1_000)

# --- the local model ----------------------------------------------------------------------------
MODELS_DIR = Path(env.text("MODELS_DIR", str(DATA_DIR / "models"))).resolve()  # its weights
LOCAL_MODEL_URL = env.text("LOCAL_MODEL_URL", "http://127.0.0.1:8001")
LOCAL_MODEL_CONTEXT = env.integer("LOCAL_MODEL_CONTEXT", 4096, at_least=256)
LOCAL_EMBEDDING_URL = env.text("LOCAL_EMBEDDING_URL", "http://127.0.0.1:8003")

# --- images -------------------------------------------------------------------------------------
IMAGE_MAX_BYTES = env.integer("IMAGE_MAX_BYTES", 10_000_000, at_least=10_000)  # per upload

# --- MCP servers --------------------------------------------------------------------------------
MCP_CONNECT_SECONDS = env.integer("MCP_CONNECT_SECONDS", 15, at_least=1)  # to list a server's tools
MCP_CALL_SECONDS = env.integer("MCP_CALL_SECONDS", 50, at_least=1)  # per tool call
MCP_MAX_ANSWER_BYTES = env.integer("MCP_MAX_ANSWER_BYTES", 5_000_000, at_least=10_000)
MCP_MAX_RESULT_CHARACTERS = env.integer(
    "MCP_MAX_RESULT_CHARACTERS", 60_000, at_least=100
)  # sent to the model
MCP_PARALLEL_CALLS = env.integer("MCP_PARALLEL_CALLS", 8, at_least=1)  # per turn
APPROVAL_SECONDS = env.integer("APPROVAL_SECONDS", 300, at_least=1)  # for a person to approve a call

# --- providers ----------------------------------------------------------------------------------
PROVIDER_FIRST_BYTE_SECONDS = env.integer("PROVIDER_FIRST_BYTE_SECONDS", 120, at_least=1)
PROVIDER_IDLE_SECONDS = env.integer("PROVIDER_IDLE_SECONDS", 60, at_least=1)  # between two bytes
PROVIDER_CALL_SECONDS = env.integer("PROVIDER_CALL_SECONDS", 600, at_least=1)  # per request
PROVIDER_LONGEST_WAIT_SECONDS = env.integer("PROVIDER_LONGEST_WAIT_SECONDS", 20, at_least=0)
# After the reader has left, the reply is read for this long, and this much, to get the provider's usage.
PROVIDER_READ_ON_SECONDS = env.integer("PROVIDER_READ_ON_SECONDS", 3, at_least=0)
PROVIDER_READ_ON_BYTES = env.integer("PROVIDER_READ_ON_BYTES", 16_384, at_least=0)

# --- outbound requests --------------------------------------------------------------------------
OUTBOUND_ALLOWED = env.listing("OUTBOUND_ALLOWED", [])  # host:port of allowed private addresses

# --- static files -------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEVELOPMENT
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
# WhiteNoise reads files synchronously; Django does so in a thread, so the warning is not useful.
warnings.filterwarnings("ignore", message="StreamingHttpResponse must consume synchronous iterators")
WHITENOISE_USE_FINDERS = WHITENOISE_AUTOREFRESH = DEVELOPMENT
