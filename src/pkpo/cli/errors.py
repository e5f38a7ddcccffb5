"""What commands raise."""

from __future__ import annotations

from pkpo.errors import PkpoError


class UsageError(PkpoError, ValueError):
    """Flags that make no sense whatever the files hold; exit code 2."""

    exit_code = 2
