"""The local runner in several processes: its own workers, and as many as were asked for."""

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DirectOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from pipeline.accounting.rejects import write_rejects
from pipeline.engines.beam_options import make_options
from pipeline.engines.local_processes import make_pipeline


def test_one_process_takes_the_runner_of_beam():
    pipeline = make_pipeline(make_options([]))
    assert isinstance(pipeline.runner, FnApiRunner)
    assert pipeline._options.view_as(DirectOptions).direct_running_mode == "in_memory"


def test_the_number_of_processes_and_other_options_are_kept():
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=3", "--job_name=x"]
    options = make_pipeline(make_options(flags))._options
    assert options.view_as(DirectOptions).direct_num_workers == 3
    assert options.get_all_options()["job_name"] == "x"


def test_runners_that_are_not_the_local_one_are_made_by_their_name():
    flags = ["--runner=DirectRunner", "--direct_running_mode=multi_processing"]
    assert type(make_pipeline(make_options(flags)).runner).__name__ != "FnApiRunner"


@pytest.mark.slow
def test_work_is_done_in_quiet_processes(tmp_path, capfd):
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    with make_pipeline(make_options(flags)) as pipeline:
        path = str(tmp_path / "rejected.parquet")
        pipeline | beam.Create([[]]) | beam.Map(write_rejects, path)
    assert (tmp_path / "rejected.parquet").exists()
    assert capfd.readouterr().err == ""
