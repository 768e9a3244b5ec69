"""The registry: versions of the registered model, and the aliases that name them.

A registered version points at the model its run put out; the bundle lies in it as the plain folder of text
files it is (`training.tracking.pyfunc.BUNDLE_PATH`). One bundle is registered once: its id is the tag
`bundle_id` of the version.
"""

from __future__ import annotations

from typing import Any, Final

from training.tracking.client import quoted

__all__ = ["CANDIDATE", "CHAMPION", "add_version", "name_version", "registered"]

CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"


def registered(client: Any, model: str, bundle_id: str) -> Any | None:
    versions = client.search_model_versions(f"name = '{quoted(model)}'")
    same = [version for version in versions if version.tags.get("bundle_id") == bundle_id]
    return min(same, key=lambda version: int(version.version)) if same else None


def add_version(
    client: Any, model: str, run_id: str, bundle_id: str, *, model_id: str, description: str = ""
) -> Any:
    """A new version of the registered model: the logged model `model_id` of a run, described in Markdown."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        model,
        # Not `models:/ID`: to find that, an embedded database would be looked for in the current folder.
        source=client.get_logged_model(model_id).artifact_location,
        run_id=run_id,
        tags={"bundle_id": bundle_id},
        description=description or None,
        model_id=model_id,
    )


def name_version(client: Any, model: str, version: str) -> str:
    """Give a version its alias, unless it is the champion already."""
    aliases = client.get_registered_model(model).aliases
    if str(aliases.get(CHAMPION)) == version:
        return CHAMPION
    alias = CANDIDATE if CHAMPION in aliases else CHAMPION
    client.set_registered_model_alias(model, alias, version)
    return alias
