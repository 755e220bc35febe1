"""Both jobs as Dataflow gets them, as far as that goes without its client and an account.

This does what Beam's DataflowRunner does up to where it writes Dataflow's own job description: it
rewrites side inputs and combiners, makes the portable graph for a container image, optimizes it.
"""

import tempfile

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import (
    GoogleCloudOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability import common_urns
from apache_beam.runners.dataflow.dataflow_runner import DataflowRunner
from apache_beam.runners.portability.fn_api_runner import translations
from apache_beam.transforms import environments
from small_configs import pipeline_config

from pipeline import build
from pipeline.engines.beam_options import make_options
from pipeline.shards.write_shards import ShardJob
from pipeline.sources.find_source import find_source
from pipeline.text.join_captions import JoinRules

IMAGE = "europe-docker.pkg.dev/some-project/some-repository/beamcap"
FLAGS = [
    "--runner=DataflowRunner", "--project=some-project", "--region=europe-west1",
    "--temp_location=gs://some-bucket/tmp", f"--sdk_container_image={IMAGE}",
    "--setup_file=./setup.py", "--max_num_workers=20",
]  # fmt: skip
PRIMITIVES = (  # all that both jobs come down to
    common_urns.primitives.IMPULSE,
    common_urns.primitives.PAR_DO,
    common_urns.primitives.GROUP_BY_KEY,
    common_urns.primitives.FLATTEN,
)


def test_the_options_for_dataflow_are_taken():
    options = make_options(FLAGS)
    assert options.view_as(StandardOptions).runner == "DataflowRunner"
    assert options.view_as(GoogleCloudOptions).region == "europe-west1"
    assert options.view_as(SetupOptions).setup_file == "./setup.py"
    assert options.view_as(WorkerOptions).sdk_container_image == IMAGE
    assert options.view_as(WorkerOptions).max_num_workers == 20


def count(pipeline, config, source, rules):
    names = ("counts", "rejects", "joined", "joined_files", "collision", "vocabulary")
    paths = {name: f"gs://some-bucket/data/{name}" for name in names}
    source = source._replace(names_may_collide=True, keys_are_references=True)
    build.read_captions(pipeline, config, source, rules, paths)
    return ["CountText", "WriteVocabulary", "WriteRejects", "KeyByPath", "WriteCollision"]


def write(pipeline, config, source, rules):
    job = ShardJob("gs://some-bucket/data", {"train": 4}, (8, 8, 128), "float16", "coco", 50, "", 0)
    joined = [f"gs://some-bucket/data/joined/{name}.tfrecord" for name in ("a", "b")]
    paths = (f"gs://some-bucket/data/{name}" for name in ("rejects.parquet", "same.json"))
    build.write_shards(pipeline, joined, job, *paths)
    return ["GroupByShard", "WriteShard", "WriteRejects", "WriteSamePictures"]


@pytest.mark.parametrize("build_job", [count, write])
def test_a_job_becomes_a_graph_for_dataflow_and_comes_back(
    pictures, tmp_path, monkeypatch, build_job
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # of pipelines that are never run
    options = make_options([flag for flag in FLAGS if "setup_file" not in flag])
    pipeline = beam.Pipeline(options=options)
    config = pipeline_config(pictures, tmp_path)
    source = find_source(config)
    rules = JoinRules(source.captions, source.images, None, True, "coco")
    steps = build_job(pipeline, config, source, rules)

    pipeline.visit(DataflowRunner.combinefn_visitor())
    pipeline.visit(DataflowRunner.side_input_visitor(deterministic_key_coders=True))
    DataflowRunner()._adjust_pipeline_for_dataflow_v2(pipeline)
    docker = environments.DockerEnvironment.from_container_image(IMAGE)
    graph = pipeline.to_runner_api(default_environment=docker)
    phases = [translations.pack_combiners, translations.sort_stages]
    graph = translations.optimize_pipeline(
        graph, phases=phases, known_runner_urns=frozenset(), partial=True
    )

    transforms = graph.components.transforms
    roots = [transforms[key] for key in graph.root_transform_ids]
    names = {transforms[key].unique_name for root in roots for key in root.subtransforms}
    assert set(steps) <= names
    assert all(name.isalpha() for name in names)  # Beam's own names have brackets and lines
    leaves = [transform for transform in transforms.values() if not transform.subtransforms]
    assert {transform.spec.urn for transform in leaves} == {known.urn for known in PRIMITIVES}
    [environment] = {leaf.environment_id for leaf in leaves if leaf.environment_id}
    assert IMAGE in str(graph.components.environments[environment].payload)
    beam.Pipeline.from_runner_api(graph, runner=None, options=options)  # unpickles every DoFn
