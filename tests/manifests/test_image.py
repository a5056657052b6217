"""The Dockerfile, as far as it can be judged without Docker."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml

from tests import kube
from tests.head import REPOSITORY

LINES = (REPOSITORY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
STEPS = [line.split(maxsplit=1) for line in LINES if line and not line.startswith("#")]


def _all(instruction: str) -> list[str]:
    return [words for name, words in STEPS if name == instruction]


def _copied() -> list[str]:
    words = [shlex.split(step) for step in _all("COPY")]
    return [source for step in words for source in step[:-1] if not source.startswith("--")]


def test_it_starts_from_ray_of_the_pinned_version() -> None:
    pinned = re.search(r"^ray==(.+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    assert pinned
    (base,) = _all("FROM")
    assert base == f"rayproject/ray:{pinned[1]}-py311-gpu"
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert any(re.match(r"ray\[.*\]>=" + pinned[1].rpartition(".")[0], need)
               for need in project["dependencies"])  # fmt: skip
    assert project["requires-python"] == ">=3.11"
    tag = f"{project['version']}-ray{pinned[1]}"
    places = ["Dockerfile", "cluster.yaml", "docs/kubernetes.md", "docs/clusters.md"]
    for path in [*places, *(str(p) for p in kube.K8S.rglob("*.yaml"))]:
        text = (REPOSITORY / path).read_text()
        for found in re.findall(r"rayograph:(\d[\w.-]*)", text):
            assert found == tag, path


def test_its_last_user_is_not_root() -> None:
    assert _all("USER")[-1].isdigit(), "the kubelet cannot tell whether a name is root"
    assert int(_all("USER")[-1]) > 0
    for pod in kube.pods("base") if kube.KUBECTL else []:
        assert str(pod.spec["securityContext"]["runAsUser"]) == _all("USER")[-1]


def test_no_secret_goes_in() -> None:
    assert not _all("ENV") + _all("ARG"), "nothing needs one; judge it when something does"
    assert not re.search(r"--mount=type=secret|AWS_|password|token", "\n".join(LINES), re.I)


def test_it_copies_what_the_build_needs_and_nothing_else() -> None:
    copied = _copied()
    for source in copied:
        assert (REPOSITORY / source).exists(), source
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needs = [*wheel["packages"], *wheel["force-include"], project["project"]["readme"]]
    for need in [*needs, "pyproject.toml", "constraints.txt", "LICENSE"]:
        assert Path(need).parts[0] in copied, need
    ignored = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)


def test_the_launcher_starts_the_same_image() -> None:
    launcher = yaml.safe_load((REPOSITORY / "cluster.yaml").read_text())
    name = launcher["docker"]["image"].rpartition("/")[2]
    if kube.KUBECTL:
        images = {c["image"] for p in kube.pods("base") for c in p.spec["containers"]}
        assert images == {name}
