"""Only `dzbgp` is a top-level name, and what is built holds its tasks as files."""

import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from e2e_lab import CHECKOUT, environment

from dzbgp import __version__

TASKS = {f"dzbgp/tasks/{file.name}" for file in (CHECKOUT / "tasks").glob("*.py")}
JOB_FILES = {"systemd/dzbgp-watch.service", "systemd/dzbgp-run.timer", "cron/dzbgp"}
"""What `dzbgp init` makes units and a cron file of."""


def build(target: str, directory: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(directory)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    return next(directory.iterdir())


def test_the_wheel_has_one_top_level_name_and_the_tasks_as_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        files = [info for info in wheel.infolist() if not info.is_dir()]
    tops = {info.filename.split("/")[0] for info in files}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"dzbgp"}
    held = {info.filename for info in files if info.file_size and (info.external_attr >> 28) != 0o12}
    assert held >= TASKS | {f"dzbgp/contrib/{name}" for name in JOB_FILES}


def test_the_source_distribution_holds_the_tasks_as_files(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as sdist:
        held = {member.name.partition("/")[2] for member in sdist.getmembers() if member.isfile()}
    assert held >= TASKS | {f"contrib/{name}" for name in JOB_FILES}


def test_somebody_elses_tasks_are_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / "tasks.py").write_text("raise ImportError('not this one')\n", encoding="ascii")
    (tmp_path / "inventory.py").write_text("raise ImportError('not this one')\n", encoding="ascii")
    env = environment(tmp_path, PYTHONPATH=str(CHECKOUT))
    command = [sys.executable, "-m", "dzbgp", "run", "--lab", "--dry-run", "--limit", "ams-dz-001", "-q"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    code = "from dzbgp import RunRequest, run_once; import dzbgp.tasks; print(dzbgp.tasks.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert Path(done.stdout.strip()).resolve() == (CHECKOUT / "tasks/__init__.py").resolve()


RELEASE = runpy.run_path(str(CHECKOUT / ".ci/prepare_release.py"))


def test_the_published_readme_has_no_link_that_needs_the_checkout_and_every_file_exists() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    public = RELEASE["public"](text, "https://git.example/x", "v1")
    links = re.findall(r"\]\(([^)\s]+)\)", public)
    assert all(link.startswith(("http", "#")) for link in links)
    assert "https://git.example/x/raw/v1/docs/run.svg" in links
    for link in links:
        if match := re.match(r"https://git\.example/x/(?:blob|raw)/v1/([^#]+)", link):
            assert (CHECKOUT / match[1]).exists(), link


def test_the_published_project_names_its_addresses() -> None:
    text = (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8")
    assert "urls" not in tomllib.loads(text)["project"]
    published = tomllib.loads(RELEASE["with_urls"](text, "https://git.example/x"))["project"]
    assert published["urls"]["Issues"] == "https://git.example/x/issues"
    assert published["scripts"] == tomllib.loads(text)["project"]["scripts"]


def test_the_changelog_has_a_section_for_this_version() -> None:
    changelog = (CHECKOUT / "CHANGELOG.md").read_text(encoding="utf-8")
    said = RELEASE["section"](changelog, __version__)
    assert said.startswith("### Added")
    assert "\n## " not in said
    with pytest.raises(LookupError):
        RELEASE["section"](changelog, "0.0.9")


def test_the_image_is_for_any_user_and_what_ci_runs_instead_has_its_environment() -> None:
    lines = (CHECKOUT / "Containerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 65532:65532" in lines
    assert not any(" HOME=" in line for line in lines)
    said = (CHECKOUT / ".ci/as-in-a-container").read_text(encoding="utf-8")
    assert "s/^ENV //p" in said
    assert all(line.count("=") == 1 for line in lines if line.startswith("ENV "))
