"""Backbones: where their folders come from, and what is refused."""

import pytest

from lib import backbones
from lib.errors import InputError


def test_embedded_backbone_is_the_published_one(monkeypatch):
    assert (backbones.resolve_backbone(backbones.EMBEDDED) / "config.json").is_file()
    monkeypatch.setattr(backbones, "EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(InputError, match="not the published ones; reinstall"):
        backbones.resolve_backbone.__wrapped__(backbones.EMBEDDED)


def test_backbone_from_the_hub_cache_and_without_a_hub(tiny, tmp_path, monkeypatch):
    import shutil

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        InputError, match="The backbone nobody/nothing is not a folder.*Go online once, or"
    ):
        backbones.resolve_backbone("nobody/nothing")
    repository = tmp_path / "models--nobody--tiny"
    shutil.copytree(tiny["bert"], repository / "snapshots" / ("a" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    assert backbones.fingerprint(
        backbones.resolve_backbone("nobody/tiny")
    ) == backbones.fingerprint(backbones.resolve_backbone(tiny["bert"]))


def test_pickled_weights_are_refused(tiny, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"has no model.safetensors"):
        backbones.resolve_backbone(str(tmp_path))
