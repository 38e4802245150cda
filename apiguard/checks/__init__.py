"""System checks: report what would go wrong in this project before it does.

Errors (``apiguard.E0xx``) stop a deployment; warnings (``W0xx``) name what to
look at. The database is read only on request (``check --database``);
``manage.py apiguard check`` reports more.
"""

from __future__ import annotations

from django.core import checks

from .counter import check_counter
from .database import check_policy, check_sqlite
from .middleware import check_corsheaders, check_middleware
from .neighbours import check_history
from .page_caches import check_other_page_caches, check_page_cache
from .reach import check_admin, check_coverage, check_websockets
from .settings import check_deployment, check_forms_behind_tls, check_settings
from .sign_in import check_sign_in
from .users import check_user_key

__all__ = ["check_coverage", "register_all"]


def register_all() -> None:
    """Register all checks; called once, when the apps are ready."""
    for check in (
        check_settings,
        check_middleware,
        check_forms_behind_tls,
        check_corsheaders,
        check_sqlite,
        check_counter,
        check_page_cache,
        check_user_key,
        check_history,
        check_admin,
        check_sign_in,
    ):
        checks.register(check, "apiguard")
    checks.register(check_policy, "apiguard", checks.Tags.database)
    for check in (check_deployment, check_other_page_caches, check_websockets):
        checks.register(check, "apiguard", checks.Tags.security, deploy=True)
