"""packaging/: every file has the last release, the package's requirements, and its own syntax."""

import ast
import re
import tomllib
from configparser import ConfigParser

import pytest
import yaml

from support import ROOT, last_release

FOLDER = ROOT / "packaging"
VERSION, _ = last_release()
EASYCONFIG = f"easybuild/mpidbo-{VERSION}-foss-2024a.eb"
FILES = {
    "Dockerfile",
    "mpidbo.def",
    "README.md",
    "spack/repo.yaml",
    "spack/packages/py_mpidbo/package.py",
    EASYCONFIG,
    "conda/recipe.yaml",
    f"modulefiles/mpidbo/{VERSION}.lua",
}
IN_BUNDLES = {"numpy": "SciPy-bundle", "scipy": "SciPy-bundle", "threadpoolctl": "scikit-learn"}
"""Where EasyBuild has packages that are no modules of their own."""


@pytest.fixture(scope="module")
def metadata():
    found = ConfigParser()
    found.read(ROOT / "setup.cfg", encoding="utf-8")
    return found


def requirements(text):
    """{name: least version} of lines such as numpy>=1.26."""
    pairs = (re.fullmatch(r"([\w-]+) ?>=([\d.]+)", line) for line in text.split("\n") if line)
    return {pair[1].replace("_", "-"): pair[2] for pair in pairs}


def build_requirements():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return requirements("\n".join(tomllib.loads(text)["build-system"]["requires"]))


def version_of(text):
    return tuple(map(int, text.split(".")))


def test_these_are_the_files():
    found = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*") if path.is_file()}
    assert {name for name in found if "__pycache__" not in name} == FILES, (
        "a release renames the easyconfig and the module: docs/releasing.md"
    )


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_other_version(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    versions = re.findall(r"mpidbo[-:/](\d+\.\d+\.\d+)|[Vv]ersion[\"=: (]+(\d+\.\d+\.\d+)", text)
    assert {one or other for one, other in versions} <= {VERSION}


def test_spack(metadata):
    tree = ast.parse((FOLDER / "spack/packages/py_mpidbo/package.py").read_text(encoding="utf-8"))
    (package,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    calls = [node.value for node in package.body if isinstance(getattr(node, "value", 0), ast.Call)]
    specs = {"needed": {}, **{name: {} for name in ("plot", "data", "torch")}}
    builds_with = {}
    versions = []
    for call in calls:
        words = [ast.literal_eval(word) for word in call.args]
        more = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
        if call.func.id == "version":
            versions.append(words[0])
        elif call.func.id == "depends_on":
            name, _, least = words[0].rstrip(":").partition("@")
            part = specs[more.get("when", "+needed")[1:]] if "run" in more["type"] else builds_with
            part[name.removeprefix("py-")] = least
    options, extras = metadata["options"], metadata["options.extras_require"]
    assert versions == [VERSION, "main"]
    assert builds_with == build_requirements()
    assert specs["needed"].pop("python") == options["python_requires"].removeprefix(">=")
    assert specs["needed"] == requirements(options["install_requires"])
    for name in ("plot", "data", "torch"):
        assert specs[name] == requirements(extras[name])
    assert yaml.safe_load((FOLDER / "spack/repo.yaml").read_text())["repo"]["namespace"]


def test_conda(metadata):
    recipe = yaml.safe_load((FOLDER / "conda/recipe.yaml").read_text(encoding="utf-8"))
    run = [line for line in recipe["requirements"]["run"] if not line.startswith("python ")]
    host = [line for line in recipe["requirements"]["host"] if ">=" in line]
    assert recipe["context"]["version"] == VERSION
    assert requirements("\n".join(host)) == build_requirements()
    assert requirements("\n".join(run)) == requirements(metadata["options"]["install_requires"])
    assert f"python {metadata['options']['python_requires']}" in recipe["requirements"]["run"]
    about, own = recipe["about"], metadata["metadata"]
    assert (about["homepage"], about["license"]) == (own["url"], own["license"])
    assert about["license_file"] == own["license_files"].split()
    entry = metadata["options.entry_points"]["console_scripts"].strip()
    assert recipe["build"]["python"]["entry_points"] == [entry]


def test_easybuild(metadata):
    """An easyconfig is Python; every requirement is there in a version that suffices."""
    found = {}
    exec((FOLDER / EASYCONFIG).read_text(encoding="utf-8"), found)
    assert (found["name"], found["version"]) == ("mpidbo", VERSION)
    assert found["homepage"] == metadata["metadata"]["url"]
    there = {name: version for name, version, *_ in found["dependencies"] + found["exts_list"]}
    assert version_of(there["Python"]) >= (3, 11)
    for name, least in requirements(metadata["options"]["install_requires"]).items():
        if name in IN_BUNDLES:
            assert IN_BUNDLES[name] in there
        else:
            own = next(other for other in there if other.replace("_", "-") == name)
            assert version_of(there[own]) >= version_of(least), name


def test_containers(metadata):
    """Both install the wheel with extras that exist, and end their build with the doctor."""
    extras = set(metadata["options.extras_require"])
    docker = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    apptainer = (FOLDER / "mpidbo.def").read_text(encoding="utf-8")
    instructions = re.findall(r"^([A-Z]+) ", docker, re.MULTILINE)
    assert set(instructions) <= set("ARG FROM COPY RUN LABEL ENV USER WORKDIR CMD".split())
    sections = set(re.findall(r"^%(\w+)", apptainer, re.MULTILINE))
    assert sections == set("files post environment test runscript help".split())
    assert "COPY dist/*.whl" in docker and "dist/mpidbo-*.whl" in apptainer
    for text in (docker, apptainer):
        (names,) = set(re.findall(r'pip install .*\[([^\]]*)\]"', text))
        assert set(names.replace("${MPI}", "mpich").split(",")) <= extras
        assert "mpidbo doctor" in text


def test_the_module():
    text = (FOLDER / f"modulefiles/mpidbo/{VERSION}.lua").read_text(encoding="utf-8")
    assert f'whatis("Version: {VERSION}")' in text
    assert text.count("(") == text.count(")")
