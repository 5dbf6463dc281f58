"""The settings: one file; what differs between machines are the environment variables of environment.py."""

import contextlib
import os
from datetime import timedelta
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from ticketclf import logs, look, policies
from ticketclf.environment import BadVariable, read

BASE_DIR = Path(__file__).resolve().parent.parent

# --- Where things are written ---------------------------------------------------------------------
VAR = read("TICKETCLF_VAR") or BASE_DIR / "var"
MODELS_DIR = VAR / "models"
REPORTS_DIR = VAR / "reports"
SHIPPED_TICKETS = BASE_DIR / "data" / "raw" / "support_tickets.csv"
NOT_WRITABLE = (
    f"TICKETCLF_VAR must name a folder that can be written; {VAR} cannot ({{}}). "
    "Name another folder or give this user the right to write there."
)
try:
    VAR.mkdir(parents=True, exist_ok=True, mode=0o700)
    (VAR / "static").mkdir(exist_ok=True)  # WhiteNoise warns at each start where STATIC_ROOT is missing
except OSError as error:
    raise BadVariable(NOT_WRITABLE.format(error.strerror)) from None

# --- Database -------------------------------------------------------------------------------------
EMBEDDED_DATABASE = read("DATABASE_URL") is None
try:
    DATABASES = {"default": environ.Env.db_url_config(read("DATABASE_URL") or f"sqlite:///{VAR}/ticketclf.sqlite3")}
except (ValueError, KeyError, ImproperlyConfigured):
    raise BadVariable("DATABASE_URL cannot be read. Write postgres://user:password@host:5432/ticketclf.") from None
if "sqlite" in DATABASES["default"]["ENGINE"]:
    # Django's own defaults lost 3 % of the transactions of four writers to "database is locked"; these lose none.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;",
    }
else:
    # Connections are kept, and looked at before use: a restarted Postgres then costs no request an error.
    DATABASES["default"].update(CONN_MAX_AGE=600, CONN_HEALTH_CHECKS=True)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Secrets and hosts ----------------------------------------------------------------------------
MIN_SECRET_KEY = 50  # what django's own deploy check demands


def _secret_key() -> str:
    """The secret key of the environment, or, on the embedded database, the one in the var folder, made at first use."""
    given = read("SECRET_KEY")
    if given is not None:
        if len(given) < MIN_SECRET_KEY or len(set(given)) < 5:
            raise BadVariable(
                f"SECRET_KEY must have at least {MIN_SECRET_KEY} random characters; it has {len(given)}. "
                "Make one with: "
                'python -c "import secrets; print(secrets.token_urlsafe(50))"'
            )
        return str(given)
    if not EMBEDDED_DATABASE:
        raise BadVariable(
            "SECRET_KEY must be set when DATABASE_URL is; it is missing. Make one with: "
            'python -c "import secrets; print(secrets.token_urlsafe(50))"'
        )
    kept = VAR / "secret_key"
    if not kept.exists():
        # Written whole under another name and then linked: of two first starts at once both read the same key.
        fresh = VAR / f"secret_key.{os.getpid()}"
        try:
            fresh.touch(mode=0o600)
            fresh.write_text(get_random_secret_key())
            with contextlib.suppress(FileExistsError):
                os.link(fresh, kept)
            fresh.unlink()
        except OSError as error:
            raise BadVariable(NOT_WRITABLE.format(error.strerror)) from None
    return kept.read_text()


SECRET_KEY = _secret_key()
DEBUG = read("DEBUG")
HTTPS = read("HTTPS")
ALLOWED_HOSTS = read("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = read("CSRF_TRUSTED_ORIGINS")
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = HTTPS
SECURE_HSTS_SECONDS = 31_536_000 if HTTPS else 0  # a year, the least that preload lists take
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = HTTPS
# A health probe inside the network speaks plain HTTP, and so does a scrape.
SECURE_REDIRECT_EXEMPT = [r"^api/health/(live|ready)$", r"^metrics$"]
BEHIND_PROXY = read("BEHIND_PROXY")
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {"DIRECTIVES": policies.OURS}
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024  # bytes; also the largest body of the API
IMPORT_MAX_MEGABYTES = read("IMPORT_MAX_MEGABYTES")  # of a file for /imports: it is no part of such a body

# --- Applications ---------------------------------------------------------------------------------
INSTALLED_APPS = [
    "mlops",
    "classifier",
    "unfold",  # before the admin, whose templates it replaces
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_api_key",  # its abstract key; the table of its own stays empty
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
    "django_prometheus",
    "axes",
    "csp",
]
MIDDLEWARE = [
    "classifier.requests.RequestMiddleware",  # outermost: it measures and counts what every other layer answers
    "classifier.requests.MeasuredBefore",
    "django.middleware.security.SecurityMiddleware",
    "ticketclf.policies.PolicyMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "classifier.signing_in.staying_signed_in",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "classifier.requests.LocalTimeMiddleware",
    "classifier.requests.MeasuredAfter",
]
ROOT_URLCONF = "ticketclf.urls"
WSGI_APPLICATION = "ticketclf.wsgi.application"
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
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = VAR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
# Served straight from the packages: `manage.py up` needs no collectstatic, which takes 17 s with compression.
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

# --- People ---------------------------------------------------------------------------------------
AUTH_USER_MODEL = "classifier.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}Validator"}
    for name in ("UserAttributeSimilarity", "MinimumLength", "CommonPassword", "NumericPassword")
]
LOGIN_URL = LOGOUT_REDIRECT_URL = "sign_in"
LOGIN_REDIRECT_URL = "overview"
SESSION_COOKIE_AGE = 12 * 3600  # seconds after the last request (classifier.signing_in.staying_signed_in)
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
AXES_HANDLER = "classifier.lockout.LockoutHandler"
AXES_FAILURE_LIMIT = read("SIGN_IN_FAILURES")
AXES_COOLOFF_TIME = timedelta(minutes=read("SIGN_IN_LOCKOUT_MINUTES"))
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "classifier.lockout.address_of"
AXES_LOCKOUT_CALLABLE = "classifier.lockout.refuse"
AXES_RESET_ON_SUCCESS = AXES_DISABLE_ACCESS_LOG = True
# A try during the lock does not make it longer, and is not counted; the admin's page is ours.
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = AXES_ENABLE_ADMIN = AXES_VERBOSE = False
LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
DISPLAY_TIME_ZONE = read("DISPLAY_TIME_ZONE")

# --- API ------------------------------------------------------------------------------------------
API_HOST = read("API_HOST")
API_PORT = read("API_PORT")
WEB_THREADS = read("WEB_THREADS")
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "classifier.authentication.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["classifier.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "classifier.problems.handle",
    "UNAUTHENTICATED_USER": None,  # not an AnonymousUser: nobody is None
    "STRICT_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "ticketclf",
    "DESCRIPTION": "A ticket's text in, a category with an honest confidence out.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_NAME_OVERRIDES": {
        "LabelSource": "classifier.models.Label.Source",
        "TicketSource": "classifier.models.Ticket.Source",
        "PredictionDecision": "classifier.models.Prediction.Decision",
        "DriftVerdict": "mlops.models.DriftSnapshot.Verdict",
        "DriftSeverity": "mlops.models.DriftSnapshot.Severity",
        "RetrainDecisionKind": "mlops.models.RetrainDecision.Decision",
        "RunDecision": "mlops.models.TrainingRun.Decision",
        "RunKind": "mlops.models.TrainingRun.Kind",
        "RunStatus": "mlops.models.TrainingRun.Status",
        "PromotionKind": "mlops.models.Promotion.Kind",
        "VersionStatus": "classifier.models.ModelVersion.Status",
    },
    "SERVE_PERMISSIONS": ["classifier.authentication.HasScope"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# --- Background work ------------------------------------------------------------------------------
REDIS_URL = read("REDIS_URL")
WORKER_PROCESSES = read("WORKER_PROCESSES")
CELERY_BROKER_URL = REDIS_URL or "redis://127.0.0.1:1/0"  # port 1 refuses at once: no broker unless `up` started one
CELERY_TASK_IGNORE_RESULT = True  # results are rows
CELERY_RESULT_EXPIRES = None  # there are none; else beat adds a schedule of its own that clears them
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # without it a task whose process is killed is lost silently
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
# Their own queue, so that short work never waits for a training.
CELERY_TASK_ROUTES = {"mlops.tasks.carry_out": {"queue": "training"}}
CELERY_TASK_TIME_LIMIT = 3300  # seconds; below the visibility timeout, so that no task runs twice
CELERY_TASK_SOFT_TIME_LIMIT = 3240
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 3600,
    "unacked_restore_throttle": 1,  # a dead worker's tasks come back after 15 s, not 95 s
    "socket_timeout": 1,  # a broker that accepts and does not answer blocks a caller for a second, not for twenty
    "socket_connect_timeout": 1,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_MAX_TASKS_PER_CHILD = 50
CELERY_BEAT_SCHEDULER = "mlops.beat:SlotScheduler"  # each due moment is a row, claimed before it is sent

# --- MLflow ---------------------------------------------------------------------------------------
MLFLOW_TRACKING_URI = read("MLFLOW_TRACKING_URI") or f"sqlite:///{VAR}/mlflow/mlflow.sqlite3"
MLFLOW_ARTIFACTS = VAR / "mlflow" / "artifacts"  # of an experiment kept in a database; a server keeps its own
MLFLOW_EXPERIMENT_NAME = read("MLFLOW_EXPERIMENT_NAME")
MODEL_NAME = read("MODEL_NAME")

# --- Training and the gate ------------------------------------------------------------------------
RECIPE = read("RECIPE")
SEED = read("SEED")
IMBALANCE_RATIO = read("IMBALANCE_RATIO")
MIN_TICKETS_PER_CATEGORY = read("MIN_TICKETS_PER_CATEGORY")
TRAIN_ON_API_LABELS = read("TRAIN_ON_API_LABELS")
TARGET_PRECISION = read("TARGET_PRECISION")
AUTO_PROMOTE = read("AUTO_PROMOTE")
GATE_MIN_MACRO_F1 = read("GATE_MIN_MACRO_F1")
GATE_MIN_GAIN = read("GATE_MIN_GAIN")
GATE_MAX_LIKELY_LOSS = read("GATE_MAX_LIKELY_LOSS")
GATE_MAX_RECALL_LOSS = read("GATE_MAX_RECALL_LOSS")
GATE_MAX_CALIBRATION_LOSS = read("GATE_MAX_CALIBRATION_LOSS")
GATE_MIN_NEW_RECALL = read("GATE_MIN_NEW_RECALL")
GATE_MAX_LATENCY_RATIO = read("GATE_MAX_LATENCY_RATIO")

# --- Watching -------------------------------------------------------------------------------------
DRIFT_WINDOW = read("DRIFT_WINDOW")
DRIFT_WINDOW_HOURS = read("DRIFT_WINDOW_HOURS")
DRIFT_MIN_PREDICTIONS = read("DRIFT_MIN_PREDICTIONS")
if DRIFT_MIN_PREDICTIONS > DRIFT_WINDOW:
    raise BadVariable(
        f"DRIFT_MIN_PREDICTIONS must be at most DRIFT_WINDOW, or every snapshot says too_few; it is "
        f"{DRIFT_MIN_PREDICTIONS}, and DRIFT_WINDOW is {DRIFT_WINDOW}. Correct one of them."
    )
DRIFT_SNAPSHOT_MINUTES = read("DRIFT_SNAPSHOT_MINUTES")
DRIFT_SNAPSHOT_PREDICTIONS = read("DRIFT_SNAPSHOT_PREDICTIONS")
RETRAIN_AUTOMATIC = read("RETRAIN_AUTOMATIC")
RETRAIN_NEW_LABELS = read("RETRAIN_NEW_LABELS")
RETRAIN_COOL_DOWN_HOURS = read("RETRAIN_COOL_DOWN_HOURS")
RETRAIN_MAX_PER_DAY = read("RETRAIN_MAX_PER_DAY")
TEXT_RETENTION_DAYS = read("TEXT_RETENTION_DAYS")
REQUEST_RETENTION_DAYS = read("REQUEST_RETENTION_DAYS")
WEB_PROCESSES = read("WEB_PROCESSES")

# --- Logs and figures -----------------------------------------------------------------------------
LOG_FORMAT = read("LOG_FORMAT")
LOGGING = logs.configuration(level=read("LOG_LEVEL"), form=LOG_FORMAT)
LOGGING_CONFIG = "ticketclf.logs.configure"
PROMETHEUS_EXPORT_MIGRATIONS = False  # it would ask the database at every start
UNFOLD = look.UNFOLD
