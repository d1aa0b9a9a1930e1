"""Device noise is cached in a folder of the test session, never in the user's."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BONDWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield
