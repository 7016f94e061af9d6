import stat
from pathlib import Path

from emulator.core.ids import ResourceId
from emulator.core.store import Document, Store

GROUP = ResourceId.parse("/subscriptions/s/resourceGroups/rg")
VAULT = GROUP.child("providers/Microsoft.KeyVault/vaults", "kv")
SECRET = "extraordinarily-secret-value"


def _document(id_: ResourceId, **private: str) -> Document:
    return Document(id_, {"id": id_.path, "properties": {}}, dict(private))


def test_private_values_and_facts_are_not_in_any_file_in_plain_text(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(_document(VAULT, value=SECRET))
    store.put_fact("fact", {"value": SECRET})
    assert store.fact("fact") == {"value": SECRET}
    found = store.get(VAULT)
    assert found is not None
    assert found.private == {"value": SECRET}
    for file in tmp_path.iterdir():
        assert SECRET.encode() not in file.read_bytes(), file.name
    store.close()


def test_the_sealing_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    Store(tmp_path).close()
    assert stat.S_IMODE((tmp_path / "seal.key").stat().st_mode) == 0o600


def test_documents_and_facts_survive_a_restart(tmp_path: Path) -> None:
    before = Store(tmp_path)
    before.put(_document(VAULT, value=SECRET))
    before.put_fact("fact", [1, 2])
    before.close()
    after = Store(tmp_path)
    assert [each.id.path for each in after.everything()] == [VAULT.path]
    assert after.fact("fact") == [1, 2]
    after.close()


def test_an_id_finds_its_document_in_any_case(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put(_document(VAULT))
    assert store.get(ResourceId.parse(VAULT.path.upper())) is not None
    store.close()


def test_a_deleted_document_takes_what_is_below_it_along_but_not_its_namesakes(tmp_path: Path) -> None:
    store = Store(tmp_path)
    sibling = ResourceId.parse(VAULT.path + "-2")
    for id_ in (VAULT, VAULT.child("secrets", "a"), sibling):
        store.put(_document(id_))
    store.delete(VAULT)
    assert [each.id.path for each in store.everything()] == [sibling.path]
    store.close()


def test_what_lies_below_comes_newest_first(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for name in ("a", "b", "c"):
        store.put(_document(VAULT.child("secrets", name)))
    store.put(_document(VAULT.child("secrets", "a")))
    assert [each.id.name for each in store.under(GROUP)] == ["c", "b", "a"]
    store.close()
