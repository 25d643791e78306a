"""What is said of a folder that holds a run already."""

import pytest

from backprop_cli.errors import OutputError
from backprop_cli.runs.run_directory import refuse_run


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.yaml", "summary.json", "model.safetensors"], "a run that has finished; choose"),
        (["config.yaml", "checkpoint.safetensors"], "backprop train --resume --output '.*a run'"),
        (["config.yaml"], "a run that has not finished; go on"),
        (["checkpoint.safetensors"], "a sweep that has not finished; .* sweep with --resume"),
        (["metrics.jsonl"], "holds metrics.jsonl of another run; choose"),
    ],
)
def test_what_is_there_and_how_to_go_on(tmp_path, files, words):
    folder = tmp_path / "a run"
    folder.mkdir()
    refuse_run(folder)
    for name in files:
        (folder / name).write_text("")
    with pytest.raises(OutputError, match=words) as refused:
        refuse_run(folder)
    assert str(refused.value).endswith("choose another folder with --output")
