from pathlib import Path

import pytest

pytest.importorskip("trl")

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What TRL and transformers say about each other's versions is no fault of ours."""
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning"))


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from .tiny import save_model

    return save_model(tmp_path_factory.mktemp("model"))
