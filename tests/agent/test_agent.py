"""An agent and a control plane together: join, poll, rotate, leave."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from meshd.agent.enrolment import IdentityHolder
from meshd.certs.authority import Lifetimes, Subject, make_root
from meshd.certs.contexts import TlsContexts
from meshd.certs.keystore import Keystore
from meshd.control.authority import open_authority
from meshd.control.scope import Scope
from meshd.control.serving import ApiListener, secure_with
from meshd.errors import ConfigError, StartError
from meshd.http.stream import ServerStream
from meshd.net.memory import MemoryNetwork
from meshd.net.timers import Timers
from meshd.snapshot.protocol import SecretResponse
from meshd.snapshot.snapshot import SecretRef
from tests.agent.rig import CONTROL, AgentRig, Clock, ControlRig, make_agent, mark_of, snapshot

Launch = Callable[..., AgentRig]


async def test_joins_with_a_token_and_gets_its_configuration(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    identity = rig.agent.identity.current
    assert identity is not None
    assert identity.spiffe_id == "spiffe://cluster.local/ns/default/sa/reviews"
    assert [mark_of(each) for each in rig.applied] == ["one"]
    status = rig.agent.status
    assert status.ready, status.reason
    assert status.version == rig.applied[0].version
    assert status.connected


async def test_a_change_is_applied_within_the_waiting_poll(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    before = trio.current_time()
    control.publish(reviews=snapshot("two"))
    await wait_all_tasks_blocked(0.001)
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]
    assert trio.current_time() - before < 0.1
    await trio.sleep(0.5)
    row = control.nodes.rows(control.api.polling.version_of)[0]
    assert (row.name, row.status, row.applied) == ("reviews-1", "SYNCED", rig.applied[1].version)


async def test_knows_the_control_plane_by_the_hash_of_its_root(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), ca_hash=control.authority.pin.upper().replace("SHA256", "sha256"))
    await trio.sleep(1)
    assert rig.agent.status.ready
    assert rig.failure is None


async def test_a_root_with_another_hash_is_refused_before_the_token_is_shown(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), ca_hash="sha256:" + "0" * 64)
    await rig.ended.wait()
    assert "not the one pinned by sha256:000000000000" in str(rig.failure)
    assert [path for path, _ in control.counted] == ["/v1/bundle"]
    assert control.tokens.list()[0].state(control.clock()) == "valid"


async def test_without_a_way_to_know_the_control_plane_nothing_is_sent(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token())
    await rig.ended.wait()
    assert "use --trust-bundle FILE or --ca-hash" in str(rig.failure)
    assert control.counted == []


async def test_without_a_token_says_how_to_get_one(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert isinstance(rig.failure, StartError)
    assert rig.failure.exit_code == 78
    assert "meshd token create" in str(rig.failure)


async def test_a_wrong_token_ends_the_start_with_one_line(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    right = control.token()
    rig = launch(token=right[:-8] + "AAAAAAAA", trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert isinstance(rig.failure, StartError)
    assert "the join token is not known here" in str(rig.failure)
    assert "\n" not in str(rig.failure)


async def test_an_expired_token(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    token = control.token(ttl=60.0)
    await trio.sleep(61)
    rig = launch(token=token, trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert "the join token has expired" in str(rig.failure)


async def test_a_token_works_once(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    token = control.token()
    first = launch(token=token, trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    second = launch(token=token, trust_bundle=control.authority.bundle.pem, node="thief")
    await second.ended.wait()
    assert "has been used already" in str(second.failure)
    assert first.failure is None
    assert first.agent.status.ready


async def test_a_token_for_another_node(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    rig = launch(token=control.token(node="reviews-2"), trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert "the join token is for node 'reviews-2' only" in str(rig.failure)


async def test_a_flag_that_disagrees_with_the_token_is_told_and_the_token_kept(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    token = control.token()
    wrong = launch(token=token, trust_bundle=control.authority.bundle.pem, service_account="ratings")
    await wrong.ended.wait()
    assert "the join token is for default/reviews, but --service-account says 'ratings'" in str(wrong.failure)
    right = launch(token=token, trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    assert right.agent.status.ready


async def test_a_lost_answer_does_not_cost_the_token(
    control: ControlRig, launch: Launch, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    issued = control.issuer.issue

    def lose_once(*arguments: object) -> object:
        response = issued(*arguments)  # type: ignore[arg-type]
        control.issuer.issue = issued  # type: ignore[method-assign]
        for wire in network.wires:
            wire.cut()
        return response

    control.issuer.issue = lose_once  # type: ignore[assignment, method-assign]
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(3)
    assert rig.failure is None
    assert rig.agent.status.ready
    assert control.issuer.issued == 2


async def test_a_control_plane_of_another_ca_is_not_believed(
    control: ControlRig, launch: Launch, clock: Clock, autojump_clock: MockClock
) -> None:
    other = make_root("cluster.local", clock())
    rig = launch(token=control.token(), trust_bundle=other.certificate_pem)
    await rig.ended.wait()
    assert isinstance(rig.failure, StartError)
    assert "control:15012 is not our control plane" in str(rig.failure)
    assert control.counted == []


async def test_a_workload_cannot_play_the_control_plane(
    control: ControlRig,
    launch: Launch,
    network: MemoryNetwork,
    clock: Clock,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    """Its certificate is of the right CA, and still not the control plane's."""
    identity = control.authority.make_identity(Subject("spiffe://cluster.local/ns/default/sa/evil"))
    await control.stop()
    holder = IdentityHolder(identity)
    timers = Timers()
    nursery.start_soon(timers.run)
    seen: list[object] = []

    async def handler(stream: ServerStream) -> None:
        seen.append(stream.request)

    secure = secure_with(TlsContexts(holder, wall_clock=clock), "cluster.local")
    nursery.start_soon(ApiListener(handler, timers, secure=secure).serve, network.listen(CONTROL))
    rig = launch(token="meshd1.x", trust_bundle=control.authority.bundle.pem)
    await rig.ended.wait()
    assert "expected spiffe://*/ns/meshd-system/sa/control" in str(rig.failure)
    assert seen == []


async def test_a_refused_configuration_is_reported_and_the_old_one_stays(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    rig.refuse = "port 80 is taken"
    control.publish(reviews=snapshot("bad"))
    await trio.sleep(2)
    assert [mark_of(each) for each in rig.applied] == ["one"]
    row = control.nodes.rows(control.api.polling.version_of)[0]
    assert (row.status, row.reason) == ("REFUSED", "port 80 is taken")
    polls = len(control.counted)
    await trio.sleep(29)
    assert len(control.counted) - polls < 8, "a refused version is not fetched again and again"
    rig.refuse = ""
    control.publish(reviews=snapshot("good"))
    await trio.sleep(2)
    assert [mark_of(each) for each in rig.applied] == ["one", "good"]
    assert control.nodes.rows(control.api.polling.version_of)[0].status == "SYNCED"


async def test_going_back_to_what_is_applied_clears_the_refusal(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    rig.refuse = "no"
    control.publish(reviews=snapshot("bad"))
    await trio.sleep(2)
    control.publish(reviews=snapshot("one"))
    await trio.sleep(65)
    row = control.nodes.rows(control.api.polling.version_of)[0]
    assert (row.status, row.reason) == ("SYNCED", "")
    assert rig.agent.status.refused == ""


async def test_a_bug_while_applying_is_a_refusal_not_an_end(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    good, rig.applied = rig.applied, None  # type: ignore[assignment]
    control.publish(reviews=snapshot("two"))
    await trio.sleep(2)
    assert rig.failure is None
    assert rig.agent.status.refused_reason == "internal error: AttributeError"
    assert rig.agent.status.version == good[0].version


async def test_a_change_for_others_wakes_nobody_else(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    before = [path for path, _ in control.counted].count("/v1/config")
    control.publish(reviews=snapshot("one"), ratings=snapshot("other"))
    await trio.sleep(5)
    assert [path for path, _ in control.counted].count("/v1/config") == before
    assert len(rig.applied) == 1


async def test_only_changed_parts_travel(
    control: ControlRig, launch: Launch, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    asked: list[int] = []
    held = control.publisher.held

    def counting(scope: Scope, digest: str) -> bytes | None:
        asked.append(1)
        return held(scope, digest)

    control.publisher.held = counting  # type: ignore[method-assign]
    await trio.sleep(1)
    first = len(asked)
    asked.clear()
    control.publish(reviews=snapshot("two"))
    await trio.sleep(1)
    assert first == 7  # the branches of clusters, endpoints and telemetry, with two, one and one leaf
    assert len(asked) == 2  # the branch of clusters, and the cluster


async def test_rotation_at_half_life_swaps_the_identity(
    network: MemoryNetwork,
    clock: Clock,
    tmp_path: Path,
    nursery: trio.Nursery,
    launch: Launch,
    autojump_clock: MockClock,
) -> None:
    control = ControlRig(network, tmp_path / "control", clock, lifetimes=Lifetimes(default=3600.0))
    await control.start(nursery)
    control.publish(reviews=snapshot("one"))
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    first = rig.agent.identity.current
    assert first is not None
    life = first.not_after - first.not_before
    await trio.sleep(life * 0.48 - 120)
    assert rig.agent.identity.current is first
    await trio.sleep(life * 0.05)
    second = rig.agent.identity.current
    assert second is not None
    assert second is not first
    assert second.spiffe_id == first.spiffe_id
    assert second.key_pem != first.key_pem
    assert second.not_after > first.not_after
    await trio.sleep(3 * 3600)
    assert rig.failure is None
    assert rig.agent.status.ready
    assert 6 < control.issuer.issued < 11, "about one in half an hour"
    assert control.issuer.refused == 0


async def test_goes_on_with_what_it_has_while_the_control_plane_is_gone(
    control: ControlRig, launch: Launch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    await control.stop()
    await trio.sleep(600)
    assert rig.failure is None
    assert rig.agent.status.ready
    assert not rig.agent.status.connected
    assert "refused" in rig.agent.status.problem
    await control.start(nursery)
    control.publish(reviews=snapshot("two"))
    await trio.sleep(20)
    assert [mark_of(each) for each in rig.applied] == ["one", "two"]
    assert rig.agent.status.connected


async def test_starts_from_the_disk_when_no_control_plane_answers(
    control: ControlRig, launch: Launch, tmp_path: Path, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    state = tmp_path / "agent"
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=state)
    await trio.sleep(1)
    await first.kill()
    await control.stop()
    again = launch(state_dir=state)
    assert [mark_of(each) for each in again.applied] == ["one"], "before anything is sent"
    await trio.sleep(60)
    assert again.failure is None
    assert again.agent.status.ready
    assert again.agent.status.from_disk
    await control.start(nursery)
    control.publish(reviews=snapshot("two"))
    await trio.sleep(20)
    assert [mark_of(each) for each in again.applied] == ["one", "two"]
    assert not again.agent.status.from_disk


async def test_a_saved_identity_that_has_expired_is_not_used(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    state = tmp_path / "agent"
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=state)
    await trio.sleep(1)
    await first.kill()
    await trio.sleep(25 * 3600)
    again = launch(state_dir=state, token=control.token(), trust_bundle=control.authority.bundle.pem)
    assert again.applied == []
    await trio.sleep(1)
    assert again.agent.status.ready


async def test_a_saved_identity_of_another_mesh_is_left_aside(
    control: ControlRig,
    launch: Launch,
    tmp_path: Path,
    network: MemoryNetwork,
    clock: Clock,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    state = tmp_path / "agent"
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=state)
    await trio.sleep(1)
    await first.kill()
    await control.stop()
    new = ControlRig(network, tmp_path / "another", clock)
    await new.start(nursery)
    new.publish(reviews=snapshot("new"))
    again = launch(state_dir=state, token=new.token(), trust_bundle=new.authority.bundle.pem)
    await trio.sleep(1)
    assert [mark_of(each) for each in again.applied] == ["new"]


async def test_a_certificate_of_another_ca_is_refused_and_the_agent_says_so(
    control: ControlRig, launch: Launch, tmp_path: Path, clock: Clock, autojump_clock: MockClock
) -> None:
    other = open_authority(tmp_path / "other", "cluster.local", clock)
    identity = other.make_identity(Subject("spiffe://cluster.local/ns/default/sa/reviews"))
    # It trusts our control plane, and has a certificate of a CA that ours does not trust.
    mixed = attrs.evolve(identity, bundle_pem=control.authority.bundle.pem)
    state = tmp_path / "agent"
    keystore = Keystore.open(state)
    keystore.save_identity(mixed)
    keystore.close()
    rig = launch(state_dir=state)
    await trio.sleep(5)
    assert rig.failure is None, "a running proxy is not ended by it"
    assert not rig.agent.status.ready
    assert "does not accept our certificate" in rig.agent.status.problem
    assert len(control.nodes) == 0


async def test_two_processes_do_not_share_a_state_directory(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    with pytest.raises(ConfigError, match="another process uses this state directory"):
        launch(state_dir=tmp_path / "agent")


async def test_a_root_that_is_added_reaches_running_agents(
    control: ControlRig, launch: Launch, tmp_path: Path, clock: Clock, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    before = rig.agent.identity.current
    new_root = make_root("cluster.local", clock())
    (control.state / "roots" / "next.pem").write_text(new_root.certificate_pem)
    assert control.authority.reload()
    control.publisher.wake()
    await trio.sleep(3)
    after = rig.agent.identity.current
    assert before is not None
    assert after is not None
    assert after.bundle_pem.count("BEGIN CERTIFICATE") == 2
    assert after.key_pem == before.key_pem
    polls = len(control.counted)
    await trio.sleep(25)
    assert len(control.counted) - polls < 8, "the same roots are not fetched again and again"
    # Signing by the new root now finds everybody prepared.
    await control.stop()
    signing = ControlRig(control.network, control.state, clock, plugin=new_root)
    async with trio.open_nursery() as nursery:
        await signing.start(nursery)
        signing.publish(reviews=snapshot("two"))
        await trio.sleep(20)
        assert [mark_of(each) for each in rig.applied] == ["one", "two"]
        assert rig.agent.status.connected
        nursery.cancel_scope.cancel()


async def test_registers_renews_and_leaves(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(300)
    assert len(control.nodes) == 1
    assert [str(each) for each in control.nodes.documents()] == [
        "WorkloadEntry default/reviews-1.reviews",
        "Service default/reviews",
    ]
    rig.scope.cancel()
    await rig.ended.wait()
    await rig.agent.leave()
    assert len(control.nodes) == 0
    await trio.sleep(0.1)
    assert control.documents[-1] == ()


async def test_a_killed_proxy_is_forgotten_soon(control: ControlRig, launch: Launch, autojump_clock: MockClock) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(5)
    await rig.kill()
    await trio.sleep(11)
    assert len(control.nodes) == 0


async def test_an_unwell_application_gets_no_traffic(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    rig.agent.set_health(False)
    await trio.sleep(1)
    assert [each.kind for each in control.nodes.documents()] == ["Service"]
    rig.agent.set_health(True)
    await trio.sleep(1)
    assert [each.kind for each in control.nodes.documents()] == ["WorkloadEntry", "Service"]


async def test_registrations_survive_the_control_plane(
    control: ControlRig, launch: Launch, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(3)
    await control.stop()
    await control.start(nursery)
    assert len(control.nodes) == 1, "at once: endpoints do not vanish"
    control.publish(reviews=snapshot("one"))
    await trio.sleep(60)
    assert len(control.nodes) == 1
    await control.stop()
    (control.state / "registrations.json").unlink()
    await control.start(nursery)
    control.publish(reviews=snapshot("one"))
    await trio.sleep(20)
    assert len(control.nodes) == 1, "told to register again by the answer to its poll"


async def test_secrets_that_are_the_same_are_not_written_again(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    state = tmp_path / "agent"
    launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=state)
    await trio.sleep(1)
    saved = [(state / name).stat().st_ino for name in ("secrets.json", "manifest.json")]
    control.publish(reviews=snapshot("two"))
    await trio.sleep(1)
    assert (state / "secrets.json").stat().st_ino == saved[0]
    assert (state / "manifest.json").stat().st_ino != saved[1]


async def test_secrets_are_fetched_before_they_are_needed(
    network: MemoryNetwork,
    clock: Clock,
    tmp_path: Path,
    nursery: trio.Nursery,
    launch: Launch,
    autojump_clock: MockClock,
) -> None:
    stored = {"kubernetes://web": SecretResponse("kubernetes://web", "v1", "CERT", "KEY")}
    control = ControlRig(network, tmp_path / "control", clock, secrets=lambda _, name: stored.get(name))
    await control.start(nursery)
    refs = (SecretRef("kubernetes://web", "v1"), SecretRef("kubernetes://gone", ""), SecretRef("file-root:/x", ""))
    control.publish(reviews=snapshot("one", secrets=refs))
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    assert rig.agent.secrets["kubernetes://web"].key_pem == "KEY"
    assert "KEY" not in repr(rig.agent.secrets)
    await rig.kill()
    again = launch(state_dir=tmp_path / "agent")
    assert again.agent.secrets["kubernetes://web"].key_pem == "KEY"
    stored["kubernetes://web"] = SecretResponse("kubernetes://web", "v2", "CERT2", "KEY2")
    control.publish(reviews=snapshot("one", secrets=(SecretRef("kubernetes://web", "v2"),)))
    await trio.sleep(2)
    assert again.agent.secrets["kubernetes://web"].key_pem == "KEY2"


async def test_a_hundred_agents_come_back_spread_over_time(
    control: ControlRig, launch: Launch, nursery: trio.Nursery, network: MemoryNetwork, autojump_clock: MockClock
) -> None:
    """After an outage no second sees more than twice the average rate."""
    for index in range(40):
        launch(token=control.token(), trust_bundle=control.authority.bundle.pem, node=f"n{index}", seed=index)
    await trio.sleep(5)
    await control.stop()
    arrivals: list[float] = []
    network.on_wire = lambda _: arrivals.append(trio.current_time())
    began = trio.current_time()
    await trio.sleep(120)
    # No listener: nothing is accepted, so nothing is wired.
    assert arrivals == []
    await control.start(nursery)
    control.publish(reviews=snapshot("one"))
    await trio.sleep(20)
    seconds = Counter(int(at - began) for at in arrivals)
    window = max(seconds) - min(seconds) + 1
    assert window >= 5
    assert max(seconds.values()) <= 2 * sum(seconds.values()) / window
    assert len(control.nodes) == 40


async def test_a_saved_identity_of_another_mesh_heals_with_a_pin_and_a_token(
    control: ControlRig,
    launch: Launch,
    tmp_path: Path,
    clock: Clock,
    autojump_clock: MockClock,
) -> None:
    other = open_authority(tmp_path / "other", "cluster.local", clock)
    keystore = Keystore.open(tmp_path / "agent")
    keystore.save_identity(other.make_identity(Subject("spiffe://cluster.local/ns/default/sa/ratings")))
    keystore.close()
    rig = launch(state_dir=tmp_path / "agent", token=control.token(), ca_hash=control.authority.pin)
    await trio.sleep(5)
    assert rig.agent.status.ready, rig.agent.status
    assert rig.agent.status.spiffe_id == "spiffe://cluster.local/ns/default/sa/reviews"


async def test_a_saved_identity_that_does_not_work_and_nothing_to_heal_it(
    control: ControlRig,
    launch: Launch,
    tmp_path: Path,
    clock: Clock,
    autojump_clock: MockClock,
) -> None:
    other = open_authority(tmp_path / "other", "cluster.local", clock)
    keystore = Keystore.open(tmp_path / "agent")
    keystore.save_identity(other.make_identity(Subject("spiffe://cluster.local/ns/default/sa/reviews")))
    keystore.close()
    rig = launch(state_dir=tmp_path / "agent", token="meshd1.wrong", ca_hash=control.authority.pin)
    await trio.sleep(60)
    assert rig.failure is None
    assert "is not our control plane" in rig.agent.status.problem
    refused = [status for path, status in control.counted if path == "/v1/certificates"]
    assert 1 <= len(refused) < 30


async def test_parts_on_disk_are_those_in_use(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    stray = tmp_path / "agent" / "parts" / ("0" * 64)
    stray.write_bytes(b"x")
    for mark in ("one", "two", "three"):
        control.publish(reviews=snapshot(mark))
        await trio.sleep(2)
        published = control.publisher.current(next(iter(control.nodes)).scope)
        assert published is not None
        assert {path.name for path in stray.parent.iterdir()} == set(published.parts)
    assert len(rig.applied) == 3


@pytest.mark.parametrize("jump", [3600.0, 13 * 3600.0, 20 * 3600.0])
async def test_a_clock_that_jumps_ahead_makes_no_storm(
    jump: float, control: ControlRig, network: MemoryNetwork, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    own = Clock()
    rig = make_agent(network, own, token=control.token(), trust_bundle=control.authority.bundle.pem)
    nursery.start_soon(rig.run)
    await trio.sleep(60)
    own.skew = jump
    await trio.sleep(3600)
    assert rig.failure is None
    assert rig.agent.status.ready
    assert control.issuer.issued <= 4


async def test_a_clock_that_is_behind_at_the_start_keeps_what_was_saved(
    control: ControlRig, launch: Launch, tmp_path: Path, clock: Clock, autojump_clock: MockClock
) -> None:
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    await first.kill()
    clock.skew = -86400.0
    again = launch(state_dir=tmp_path / "agent")
    await trio.sleep(5)
    assert again.failure is None
    assert again.agent.status.reason.startswith("the certificate is not valid now")
    clock.skew = 0.0
    await trio.sleep(10)
    assert again.agent.status.ready


async def test_a_saved_identity_that_expired_and_no_token(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    await first.kill()
    await trio.sleep(25 * 3600)
    again = launch(state_dir=tmp_path / "agent")
    await again.ended.wait()
    assert "(a saved one was left aside: its certificate has expired) and no join token" in str(again.failure)


async def test_a_saved_configuration_that_is_torn_is_fetched_again(
    control: ControlRig, launch: Launch, tmp_path: Path, autojump_clock: MockClock
) -> None:
    first = launch(token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent")
    await trio.sleep(1)
    await first.kill()
    part = next((tmp_path / "agent" / "parts").iterdir())
    part.write_bytes(part.read_bytes()[:-1])
    again = launch(state_dir=tmp_path / "agent")
    assert again.applied == []
    await trio.sleep(1)
    assert [mark_of(each) for each in again.applied] == ["one"]
    assert again.agent.status.ready


async def test_a_saved_configuration_that_cannot_be_applied_is_left_aside(
    control: ControlRig,
    network: MemoryNetwork,
    clock: Clock,
    tmp_path: Path,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    first = make_agent(
        network, clock, token=control.token(), trust_bundle=control.authority.bundle.pem, state_dir=tmp_path / "agent"
    )
    nursery.start_soon(first.run)
    await trio.sleep(1)
    await first.kill()
    again = make_agent(network, clock, load=False, state_dir=tmp_path / "agent")
    again.refuse = "the port is taken"
    assert not again.agent.load()
    nursery.start_soon(again.run)
    await trio.sleep(2)
    assert again.agent.status.refused_reason == "the port is taken"
    assert control.nodes.rows(control.api.polling.version_of)[0].status == "REFUSED"
    assert again.agent.status.reason.startswith("no configuration yet")


async def test_leaving_a_control_plane_that_hangs_is_bounded(
    control: ControlRig, launch: Launch, autojump_clock: MockClock
) -> None:
    rig = launch(token=control.token(), trust_bundle=control.authority.bundle.pem)
    await trio.sleep(1)
    rig.scope.cancel()
    await rig.ended.wait()

    async def hang(_stream: ServerStream) -> bool:
        await trio.sleep_forever()

    control.interfere = hang
    began = trio.current_time()
    await rig.agent.leave()
    assert trio.current_time() - began <= 2
