"""The program of a mapping: what is in it, what the checks catch, and that its buffers suffice."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from support.networks import a_chip, a_policy, a_small_workload, networks
from support.programs import actor, chain, edge, program_of

from emulator.errors import ProgramError
from emulator.mapping.mapping import InfeasibleError
from emulator.mapping.place import map_network
from emulator.network.graph import Network
from emulator.program.build import build_program
from emulator.program.check import check_l1, check_program, hbm_terms, l1_terms
from emulator.program.dataflow import Program
from emulator.program.token_game import TokenGame
from emulator.program.transport import program_from_bytes, program_hash, program_to_bytes
from traces.schema import ActorKind

CHIP = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8))
NAIVE = a_policy()


@pytest.fixture(scope="module")
def program() -> Program:
    return a_small_workload(CHIP, n_images=1).program


def test_every_layer_makes_its_whole_feature_map(program: Program) -> None:
    for layer_id, layer in enumerate(program.layers):
        roots = [a for a in program.actors if a.layer_id == layer_id and a.is_root]
        assert sum(len(root.columns) for root in roots) == layer.output.channels
        assert {root.n_firings for root in roots} == {layer.output.width}
        jobs = sum(a.n_jobs for a in program.actors if a.layer_id == layer_id)
        assert jobs == layer.n_crossbars * layer.output.height * layer.output.width


def test_a_program_survives_the_way_to_another_rank(program: Program) -> None:
    data = program_to_bytes(program)
    assert program_from_bytes(data) == program
    assert program_to_bytes(program_from_bytes(data)) == data
    other = replace(program, n_clusters=program.n_clusters + 1)
    assert program_hash(other) != program_hash(program)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(network=networks())
def test_programs_of_random_networks_pass_their_checks(network: Network) -> None:
    chip = a_chip(rows=24, columns=8, fan_outs=(8, 32))
    program = build_program(map_network(network, chip, NAIVE))
    game = TokenGame(program, n_images=3)
    assert game.play()
    for channel in program.channels:
        assert game.most_held[channel.channel_id] <= channel.capacity + channel.slots
        assert game.pushed[channel.channel_id] == game.freed[channel.channel_id] == 3 * channel.n_tokens


def test_the_faster_input_of_an_addition_has_room_for_the_lag_of_the_slower_one(program: Program) -> None:
    (add,) = [a for a in program.actors if a.kind is ActorKind.ADD]
    capacities = {0: set(), 1: set()}  # type: dict[int, set[int]]
    for channel in program.channels:
        if channel.consumer == add.actor_id:
            capacities[channel.operand].add(channel.capacity)
    assert min(capacities[0]) > 4  # the stem comes straight, the other operand through two 3 x 3 convolutions
    assert capacities[1] == {2}


def test_a_deadlock_is_found_and_described() -> None:
    # Both sinks read the two sources; one waits for all of the first before it takes any of the second.
    actors = [actor(0, 1, n_firings=8), actor(1, 1, n_firings=1), actor(2, 1, n_firings=8)]
    whole = replace(edge(0, 1, n_tokens=8, n_bytes=64, capacity=8), need=(8,), freed=(8,))
    late = replace(edge(1, 2, n_tokens=1, n_bytes=64, capacity=1), need=(1,) * 8, freed=(0,) * 7 + (1,))
    tight = edge(0, 2, n_tokens=8, n_bytes=64, capacity=1)
    stuck = program_of(4, actors, [whole, late, tight])
    with pytest.raises(ProgramError, match="deadlocks") as caught:
        check_program(stuck)
    assert "actor at 0 waits for room at actor at 2" in str(caught.value)
    assert "actor at 1 waits for tokens from actor at 0" in str(caught.value)
    check_program(program_of(4, actors, [whole, late, replace(tight, capacity=6)]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"token_bytes": (64,) * 3}, "4 tokens per image, but 3 sizes"),
        ({"token_bytes": (64, 64, 0, 64)}, "every token must have a byte at least"),
        ({"tokens": (0, 2, 1, 3)}, "tokens must be firings 0 to 3 in order"),
        ({"tokens": (1, 2, 3, 4)}, "tokens must be firings 0 to 3 in order"),
        ({"need": (1, 2, 3)}, "3 entries in need, 4 firings"),
        ({"need": (1, 2, 3, 3)}, "need must rise to 4"),
        ({"freed": (1, 0, 3, 4)}, "freed must rise to 4"),
        ({"freed": (2, 2, 3, 4)}, "gives back tokens for which it did not wait"),
        ({"need": (4, 4, 4, 4), "freed": (0, 0, 0, 4)}, "room for 2 tokens, one firing needs 4"),
        ({"producer": 1, "consumer": 0}, "the producer must come before the consumer"),
    ],
)
def test_ends_that_do_not_match_are_refused(change: dict[str, object], message: str) -> None:
    program = chain(4, [0, 1], [5, 5], n_tokens=4, n_bytes=64, capacity=2)
    broken = replace(program, channels=(replace(program.channels[0], **change),))  # type: ignore[arg-type]
    with pytest.raises(ProgramError, match=message):
        check_program(broken)


def test_l1_holds_input_buffers_and_two_output_tokens() -> None:
    workload = a_small_workload(CHIP, n_images=1)
    terms = l1_terms(workload.program)
    assert workload.program.hbm_site not in terms
    stem = dict(terms[0])
    # 12 rows x 3 channels per column: three columns of a 3 x 3 window and a fourth that loads
    assert stem["conv0[0,0] input from image"] == 4 * 12 * 3
    assert stem["conv0[0,0] output"] == 2 * 12 * 8
    most = max(sum(size for _, size in cluster) for cluster in terms.values())
    exact = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8), l1=f"{most} B")
    check_l1(workload.program, replace(workload.mapping, chip=exact))
    short = a_chip(rows=16, columns=8, fan_outs=(4, 4, 8), l1=f"{most - 1} B")
    with pytest.raises(InfeasibleError, match="1 missing"):
        check_l1(workload.program, replace(workload.mapping, chip=short))


def test_the_hbm_holds_an_image_its_result_and_residuals() -> None:
    in_l1 = a_small_workload(CHIP, n_images=1)
    assert [size for _, size in hbm_terms(in_l1.program)] == [12 * 12 * 3, 10]
    workload = a_small_workload(CHIP, 1, a_policy(residual="hbm"))
    terms = hbm_terms(workload.program)
    assert [size for _, size in terms[:2]] == [12 * 12 * 3, 10]
    ((name, n_bytes),) = terms[2:]
    assert name.endswith("residual#0")
    assert n_bytes >= 12 * 12 * 8  # all columns of the residual

    def with_capacity(n_bytes: int) -> Program:
        hbm = CHIP.hbm.model_copy(update={"capacity_bytes": n_bytes})
        return build_program(replace(workload.mapping, chip=CHIP.model_copy(update={"hbm": hbm})))

    demand = sum(size for _, size in terms)
    assert with_capacity(demand) == workload.program
    with pytest.raises(InfeasibleError) as caught:
        with_capacity(demand - 1)
    (shortage,) = caught.value.shortages
    assert (shortage.resource, shortage.demand, shortage.bound, shortage.gap) == ("HBM", demand, demand - 1, 1)
    assert f"an HBM of at least {demand} bytes (hbm.capacity)" in str(caught.value)
    assert "residuals elsewhere" in str(caught.value)
