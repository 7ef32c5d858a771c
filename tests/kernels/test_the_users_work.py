"""What is the user's own stays as it is: FAULTS.md rows 21, 30, 32, 33 and 47, in a real kernel."""

from __future__ import annotations

import os
import pickle
import signal
import time
from pathlib import Path

import pytest
from versions import VERSIONS, check_version, overlay
from wire import Front, Kernel, start_kernel


class Canary:
    """Writes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> object:
        return (Path.write_text, (self.path, "code ran"))


def test_row_21_a_pickle_in_a_pt_file_is_refused_and_harmless(kernel: Kernel, front: Front, tmp_path: Path) -> None:
    evil, sung = tmp_path / "evil.pt", tmp_path / "sung"
    evil.write_bytes(pickle.dumps({"weight": Canary(sung)}))
    ended = kernel.reply(kernel.start(f"lab.experiment.load_weights({str(evil)!r})"))
    assert ended.status == "error" and ended.error.startswith("FileError")
    assert not sung.exists()
    front.update(sparsity=0.5)
    front.wait_idle(sparsity=0.5, error=None)


TOUCHED = """
net = lab.experiment.model.train()
next(net.parameters()).requires_grad_(False)
net(torch.randn(4, 1, 28, 28)).sum().backward()
handle = net.register_forward_hook(lambda *a: None)
def facts():
    grads = [None if p.grad is None else hashlib.sha1(p.grad.numpy().tobytes()).hexdigest() for p in net.parameters()]
    return [E.fingerprint(net), grads, hashlib.sha1(torch.get_rng_state().numpy().tobytes()).hexdigest(), net.training]
before = facts()
"""


def test_rows_30_and_32_work_leaves_modes_gradients_hooks_and_random_numbers_alone(kernel: Kernel, front: Front) -> None:
    kernel.run(TOUCHED)
    front.update(sparsity=0.9, weight_bits=4, gesture=1)
    front.wait_idle(sparsity=0.9)
    front.handled(front.update(epochs=1))
    front.handled(front.click("fine_tune"))
    front.handled(front.click("measure_latency"))
    front.wait_idle()
    front.handled(front.click("measure_disk"))
    front.wait_idle()
    assert front.state["last_task"]["role"] == "good"
    assert kernel.value("facts() == before")
    kernel.run("handle.remove(); net.eval(); next(net.parameters()).requires_grad_(True)")  # as the fixture knew it


def test_row_33_nan_weights_are_a_message_and_no_accuracy(kernel: Kernel) -> None:
    kernel.run("sick = nw.load_example('digits/lenet300'); next(sick.model.parameters()).data.fill_(math.nan)")
    kernel.run("ill = nw.CompressionLab(sick); ill.wait(60)", cell="nan")
    ill = kernel.newest()
    ill.wait(lambda: ill.state["status"] == "error")
    assert "NaN" in ill.state["error"]["message"] and ill.state["accuracy"] is None
    kernel.run("ill.close(); sick.close(); del ill, sick")


SAVED = """
from pathlib import Path
exp = nw.load_example('digits/lenet300')
lab = nw.CompressionLab(exp)
exp.apply(E.Recipe(E.Pruning(0.9), E.Quantization(4)))
exp.save_snapshot('small')
lab.epochs = 1
lab.fine_tune()
assert lab.wait(60)
exp.apply(E.Recipe(E.Pruning(0.95)))
exp.prune(E.Schedule('iterative', rounds=2), rounds=1)
exp.start_untrained(3)
exp.undo()
exp.weights.save(exp.state.weights_key, 'tuned.safetensors')
Path('experiment.json').write_text(exp.to_json(), encoding='utf-8')
assert lab.wait(60)
accuracy = lab.accuracy
lab.epochs = 50
lab.fine_tune()
"""

FACTS = "[exp.recipe.to_json(), len(exp.history), [each.to_data() for each in exp.attempts], E.fingerprint(exp.model)]"

BACK = """
from pathlib import Path
fresh = nw.load_example('digits/lenet300')
exp = nw.Experiment.from_json(
    Path('experiment.json').read_text(encoding='utf-8'), fresh.model, train=fresh.train, val=fresh.val, test=fresh.test)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_row_47_what_was_saved_before_the_kernel_was_killed_comes_back(version: str, tmp_path: Path) -> None:
    folder = overlay(version)
    with start_kernel(tmp_path, folder) as doomed:
        check_version(doomed, version, folder)
        doomed.run(SAVED)
        told = doomed.value(f"{FACTS} + [accuracy]")
        os.kill(doomed.manager.provisioner.pid, signal.SIGKILL)
        doomed.manager.provisioner.process.wait(20)
    with start_kernel(tmp_path, folder) as new:
        new.run(BACK)
        assert new.value("exp.snapshots['small'].recipe == E.Recipe(E.Pruning(0.9), E.Quantization(4))")
        new.run("exp.load_weights('tuned.safetensors')\nwhile exp.position < 4: exp.redo()")
        new.run("lab = nw.CompressionLab(exp); assert lab.wait(60)")
        back = new.value(f"{FACTS} + [lab.accuracy]")
        front = new.newest()
        front.update(sparsity=0.5)
        front.wait_idle(sparsity=0.5, error=None)
    assert back == told


LOTTERY = """
draw = torch.Generator().manual_seed(0)
labels = torch.randint(0, 3, (120,), generator=draw)
images = torch.nn.functional.one_hot(labels, 12).float() + 0.5 * torch.randn(120, 12, generator=draw)
some = E.Split(images, labels)
def build(): return torch.nn.Sequential(torch.nn.Linear(12, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
setup = E.TrainingSetup(epochs=2, batch_size=20)
def lottery(kept): return E.lottery_ticket(build, some, some, some, setup, rounds=2, seeds=range(12), resume=kept)
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_row_47_a_lottery_goes_on_where_the_kernel_was_killed(version: str, tmp_path: Path) -> None:
    """Runs that were done are in its file; the whole is the same, bit for bit, as one that was never stopped."""
    folder, kept = overlay(version), tmp_path / "kept.jsonl"
    with start_kernel(tmp_path, folder) as doomed:
        doomed.run("import torch\n" + LOTTERY)
        doomed.start(f"lottery({str(kept)!r})")
        end = time.monotonic() + 60
        while not kept.exists() or len(kept.read_text(encoding="utf-8").splitlines()) < 4:
            assert time.monotonic() < end
            time.sleep(0.005)
        os.kill(doomed.manager.provisioner.pid, signal.SIGKILL)
        doomed.manager.provisioner.process.wait(20)
    done = len(kept.read_text(encoding="utf-8").splitlines())
    with start_kernel(tmp_path, folder) as new:
        new.run("import torch\n" + LOTTERY)
        new.run(f"found, whole = lottery({str(kept)!r}), lottery(None)")
        assert new.value("found.runs == whole.runs")
    assert done < len(kept.read_text(encoding="utf-8").splitlines())
