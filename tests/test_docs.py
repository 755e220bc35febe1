"""The pages of the documentation: their commands run, their links lead somewhere.

Every fenced `sh` block of README.md and docs/ is run, a page after the other, each in a directory
of its own that holds small drawn pictures in the layouts that pages name: `flickr8k/`, `coco/`,
`pictures/` and so on (see `write_sources`). A command of beamcap gets the flags of SMALL behind its
own, which make it small; the last of two equal flags wins. A block that cannot be run has its
reason in the line before it:

    <!-- not run: it needs a cluster -->

Blocks of `python` are run in the order of their page too. See test_docs_python.py for python.md.
"""

import ast
import contextlib
import csv
import io
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from doc_blocks import ROOT, Block, blocks_of

from pipeline.drawn_pictures import write_pictures

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = ("build", "verify", "train", "launch", "evaluate", "export", "caption")
SMALL = {
    "draw": ["--count=60"],
    "check": ["--minimum=0"],  # of drawn pictures: an epoch teaches nothing
    "build": [
        "--encoder=tiny", "--encoder_weights=imagenet", "--encoder_layer=", "--image_size=0",
        "--images_per_shard=24", "--min_count=1", "--max_rejected=0.1",
    ],
    "train": [
        "--epochs=1", "--units=16", "--annotation_units=16", "--batch_size=8", "--strategy=one",
        "--precision=float32",
    ],
}  # fmt: skip
JOB_SERVER_FLAGS = {"--parallelism"}  # of Flink and Spark, which Beam's Python does not know
PACKAGES = ("pipeline", "trainer", "tfrecords_schema")
TREES = "|".join([*PACKAGES, "tests", "benchmarks"])
# Of our files: with their suffix anywhere, or as the only thing between backticks.
PATH = re.compile(rf"(?<![\w/])(?:{TREES})(?:/\w+)+\.(?:py|sh)\b|(?<=`)(?:{TREES})(?:/\w+)+(?=/?`)")


def commands_of(block: Block) -> list[list[str]]:
    """The commands of a block, a list of words each, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line, comments=True) for line in lines]
    return [words for words in commands if words]


def run_beamcap(command: str, arguments: list[str]) -> None:
    """What the console script `beamcap` does, in this process, where TensorFlow is loaded."""
    if command == "build":
        from pipeline.command import main

        main(arguments)
    elif command == "verify":
        from pipeline.verify.command import main as verify

        verify(arguments)
    else:
        from trainer.command import main as trainer

        trainer([command, *arguments])


def run_command(words: list[str]) -> None:
    """Runs a command of a page, made small; fails where its exit status is not 0."""
    if words[0] == "beamcap":
        command, *arguments = words[1:]
        try:
            run_beamcap(command, [*arguments, *SMALL.get(command, [])])
        except SystemExit as end:
            assert not end.code, f"{shlex.join(words)} exits with {end.code}"
        return
    if words[:3] == ["python", "-m", "pipeline.drawn_pictures"]:
        words = [*words, *SMALL.get(words[3], [])]
    environment = dict(os.environ, PYTHONPATH=str(ROOT))
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert not done.returncode, f"{shlex.join(words)}: {done.stderr[-2000:]}"


def write_sources(directory: Path) -> None:
    """Sixty drawn pictures with five captions each, in the layouts of the pages."""
    own = directory / "flickr8k"
    write_pictures(own, count=60, damaged=0)
    images = own / "images"
    captions: dict[str, list[str]] = {}
    for line in (own / "Flickr8k.token.txt").read_text().splitlines():
        key, caption = line.split("\t")
        captions.setdefault(key.split("#")[0], []).append(caption)
    splits = {
        name: split
        for split in ("train", "dev", "test")
        for name in (own / f"Flickr_8k.{split}Images.txt").read_text().split()
    }
    for folder in (
        "flickr30k/flickr30k-images", "karpathy/images", "coco/train2014", "photos", "pictures",
    ):  # fmt: skip
        shutil.copytree(images, directory / folder)
    shutil.copy(images / "drawn_00000.jpg", directory / "photo.jpg")

    lines = (own / "Flickr8k.token.txt").read_text()
    (directory / "flickr30k" / "results_20130124.token").write_text(lines)
    for name, texts in captions.items():
        (directory / "pictures" / name).with_suffix(".txt").write_text("\n".join(texts) + "\n")
    with (
        open(directory / "captions.csv", "w", newline="") as with_header,
        open(directory / "captions.tsv", "w", newline="") as without,
    ):
        rows = csv.writer(with_header)
        rows.writerow(["image", "caption", "split"])
        for name, texts in captions.items():
            rows.writerows([name, text, splits[name]] for text in texts)
            without.writelines(f"{name}\t{text}\n" for text in texts)
    _write_json_layouts(directory, captions, splits)
    (directory / "shards").mkdir()
    for split in ("train", "dev", "test"):
        with tarfile.open(directory / "shards" / f"{split}-0.tar", "w") as tar:
            for name in (name for name, of in splits.items() if of == split):
                tar.add(images / name, name)
                text = "\n".join(captions[name]).encode()
                member = tarfile.TarInfo(Path(name).with_suffix(".txt").name)
                member.size = len(text)
                tar.addfile(member, io.BytesIO(text))


def _write_json_layouts(
    directory: Path, captions: dict[str, list[str]], splits: dict[str, str]
) -> None:
    karpathy = [
        {
            "filename": name,
            "split": {"dev": "val"}.get(split, split),
            "sentences": [{"sentid": k, "raw": text} for k, text in enumerate(captions[name])],
        }
        for name, split in splits.items()
    ]
    path = directory / "karpathy" / "dataset_flickr8k.json"
    path.write_text(json.dumps({"images": karpathy}))

    coco = directory / "coco"
    (coco / "annotations").mkdir()
    (coco / "val2014").mkdir()
    for number, (release, of) in enumerate({"train2014": "train", "val2014": "dev"}.items()):
        names = [name for name, split in splits.items() if split == of]
        annotations = [
            {"id": 1000 * i + k, "image_id": i, "caption": text}
            for i, name in enumerate(names)
            for k, text in enumerate(captions[name])
        ]
        listed = [{"id": i, "file_name": name} for i, name in enumerate(names)]
        content = json.dumps({"images": listed, "annotations": annotations})
        (coco / "annotations" / f"captions_{release}.json").write_text(content)
        for name in names if number else ():
            shutil.move(coco / "train2014" / name, coco / "val2014" / name)


def pages_with_commands() -> list[Path]:
    languages = ("sh", "python")
    return [
        path
        for path in PAGES
        if path.name != "python.md"
        and any(
            block.language in languages and not block.not_run
            for block in blocks_of(path.read_text())
        )
    ]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with_commands(), ids=lambda path: path.name)
def test_the_commands_of_a_page_run(page, tmp_path, monkeypatch):
    write_sources(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in blocks_of(page.read_text()):
        if block.not_run:
            continue
        if block.language == "sh":
            for words in commands_of(block):
                run_command(words)
        elif block.language == "python":
            exec(compile(block.text, str(page), "exec"), names)


def test_blocks_are_found_with_their_reasons():
    shell = "```sh\nbeamcap x \\\n  y  # z\n```\n"
    page = f"a\n<!-- not run: it needs a cluster -->\n{shell}\n```python\n1\n```\n"
    cluster, python = blocks_of(page)
    assert cluster.not_run == "it needs a cluster" and not python.not_run
    assert commands_of(cluster) == [["beamcap", "x", "y"]]
    assert python == Block("python", "1\n", "")


def test_each_reason_for_not_running_a_block_says_something():
    for path in PAGES:
        page = path.read_text()
        reasons = [block.not_run for block in blocks_of(page) if block.not_run]
        # One that stands elsewhere would be read by nobody.
        assert len(reasons) == len(re.findall("^<!-- not run", page, re.MULTILINE)), path
        assert all(len(reason.split()) >= 2 for reason in reasons), path


def test_flags_of_the_pages_are_flags_of_their_commands(capsys):
    known = {command: flags_in_help(command, capsys) for command in COMMANDS}
    for options in PipelineOptions.__subclasses__():
        parser = _Flags()
        options._add_argparse_args(parser)
        known["build"] |= parser.flags
    known["build"] |= JOB_SERVER_FLAGS
    found = 0
    for path in PAGES:
        blocks = [block for block in blocks_of(path.read_text()) if block.language == "sh"]
        for words in [words for block in blocks for words in commands_of(block)]:
            if words[0] == "beamcap" and len(words) > 1:
                command = words[1]
                flags = {word.split("=")[0] for word in words[2:] if word.startswith("--")}
                assert flags <= known[command], f"{path.name}: {shlex.join(words)}"
                found += len(flags)
    assert found > 100


class _Flags:
    """An argument parser that only notes the flags that it is given."""

    def __init__(self):
        self.flags = set()

    def add_argument(self, *names, **_):
        self.flags |= set(names)

    def add_argument_group(self, *_, **__):
        return self

    add_mutually_exclusive_group = add_argument_group

    def set_defaults(self, **_):
        pass


def flags_in_help(command, capsys):
    with contextlib.suppress(SystemExit):
        run_beamcap(command, ["--help"])
    return set(re.findall(r"--[\w-]+", capsys.readouterr().out))


def test_links_lead_somewhere():
    count = 0
    for path in PAGES:
        text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
        for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", text):
            if "://" in target:
                continue
            file = (path.parent / target).resolve() if target else path
            assert file.exists(), f"{path.name} links to {target}"
            if anchor:
                assert anchor in anchors(file), f"{path.name} links to {target}#{anchor}"
            count += 1
    assert count > 50


def anchors(page):
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_paths_that_pages_name_exist():
    count = 0
    for path in PAGES:
        for name in PATH.findall(path.read_text()):
            assert (ROOT / name).exists(), f"{path.name}: {name}"
            count += 1
    assert count > 20


def test_messages_of_troubleshooting_are_messages_of_the_code():
    texts = [
        node.value
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    messages = re.findall(r"^### `(.*)`$", page, re.MULTILINE)
    assert len(messages) > 20
    for message in messages:
        # What stands between values that differ.
        parts = [part.strip() for part in message.split("…") if len(part.strip()) > 8]
        assert parts, message
        for part in parts:
            assert any(part in text for text in texts), f"no message has {part!r}"


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_the_list_of_modules_is_that_of_the_tree():
    main = runpy.run_path(str(ROOT / "docs" / "make_architecture.py"))["main"]
    assert not main(check=True), "run docs/make_architecture.py"


def test_tables_of_runs_are_those_of_runs_csv(capsys):
    main = runpy.run_path(str(ROOT / "benchmarks" / "tables.py"))["main"]
    stale = main(check=True)
    assert not stale, f"run benchmarks/tables.py: {capsys.readouterr().out}"
