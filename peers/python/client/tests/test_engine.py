"""The state machines without a clock and a network: frames and times go in, effects come out. The store is a real one."""

import tempfile
import unittest
from pathlib import Path
from random import Random
from zlib import crc32

from client.engine import Engine
from client.store import Store, StoreError
from client.terms import LIMITS, TIMERS
from wire.codes import ERROR_CODE, FATE, RETRY_CLASS
from wire.messages import message_class

Frame = message_class("Frame")
BEN = ("user", "ben")
DAY = 86_400_000


class Bench:
    """A client on a folder, a server that is written out by hand, and a clock that the test moves."""

    def __init__(self, folder: str, **welcome) -> None:
        self.at, self.wall = 1_000.0, 1_790_000_000_000
        self.store = Store(folder)
        self.engine = Engine(self.store, Random(7), "phone", "t", receive_window=None, looked_only=False)
        self.welcome = welcome
        self.events: list[tuple[str, dict]] = []
        self.pushes = 0

    def settle(self) -> list:
        """What is transmitted now: (kind, message)."""
        sent = []
        self.again = self.engine.pump(self.at, self.wall)
        while effects := self.engine.effects.take():
            for effect, *rest in effects:
                if effect == "transmit":
                    kind = rest[0].WhichOneof("body")
                    sent.append((kind, getattr(rest[0], kind)))
                elif effect == "tell":
                    self.events.append((rest[0], rest[1]))
                elif effect == "dial":
                    self.engine.connected(self.at)
                elif effect == "hang up":
                    self.engine.lost(self.at)
                    sent.append(("hang up", None))
        return sent

    def open(self, synced: bool = True) -> list:
        self.settle()
        sent = self.gives(welcome=self._welcome())
        for request in of(sent, "sync_req") if synced else []:
            sent += self.gives(sync_page={"request_id": request.request_id, "token": b"t"})
        return sent

    def _welcome(self) -> dict:
        fields = {"version": 1000, "user_id": "ann", "epoch": "e1", "dedup_window_ms": DAY, "session_id": "s"}
        enforced = {"page_entries_max": 100, "page_bytes_max": 262_144, "sync_conversations_max": 100, "preview_bytes_max": 1024}
        timers, limits = dict(TIMERS), {**LIMITS, **enforced}
        for name, value in self.welcome.items():
            (timers if name in timers else limits if name in limits else fields)[name] = value
        return {**fields, "timers": timers, "limits": limits}

    def gives(self, **frame) -> list:
        self.engine.received(Frame(**frame), self.at)
        return self.settle()

    def after(self, ms: float) -> list:
        self.at += ms
        self.wall += int(ms)
        if self.engine.session is not None:
            self.engine.session.hear(self.at)
        return self.settle()

    def pushes_entry(self, seq: int, body: bytes = b"x", damaged: bool = False) -> list:
        self.pushes += 1
        message = {"sender_id": "ben", "client_msg_id": seq.to_bytes(16, "big"), "content_type": "text/plain", "body": body}
        message["body_crc32"] = crc32(body) ^ damaged
        entry = {"seq": seq, "server_time_ms": 1, "message": message}
        return self.gives(push={"push_seq": self.pushes, "conversation": {"user_id": "ben"}, "entry": entry})

    def sends(self, text: bytes) -> bytes:
        id = text.rjust(16, b"-")
        self.engine.outbox.add(BEN, id, "text/plain", text, self.wall)
        return id

    def refuses(self, id: bytes, code: str, fate: str, retry: str, after: int = 0) -> list:
        refused = {
            "code": ERROR_CODE[f"ERROR_CODE_{code}"],
            "fate": FATE[f"FATE_{fate}"],
            "retry": RETRY_CLASS[f"RETRY_CLASS_{retry}"],
            "retry_after_ms": after,
        }
        return self.gives(send_ack={"client_msg_id": id, "conversation": {"user_id": "ben"}, "refused": refused})

    def accepts(self, id: bytes, seq: int) -> list:
        accepted = {"seq": seq, "server_time_ms": 5}
        return self.gives(send_ack={"client_msg_id": id, "conversation": {"user_id": "ben"}, "accepted": accepted})

    def told(self, event: str) -> list[dict]:
        return [fields for name, fields in self.events if name == event]


def of(sent: list, kind: str) -> list:
    return [message for name, message in sent if name == kind]


class EngineTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.benches: list[Bench] = []
        self.addCleanup(lambda: [bench.store.close() for bench in self.benches])

    def bench(self, **welcome) -> Bench:
        for bench in self.benches:
            bench.store.close()
        self.benches = [Bench(self.folder, **welcome)]
        return self.benches[0]

    # --- the outbox

    def test_a_burst_names_its_predecessors_and_keeps_to_the_send_window(self) -> None:
        bench = self.bench(send_window=2)
        ids = [bench.sends(text) for text in (b"1", b"2", b"3")]
        sent = of(bench.open(), "send_req")
        self.assertEqual([(s.client_msg_id, s.predecessor) for s in sent], [(ids[0], b""), (ids[1], ids[0])])
        sent = of(bench.accepts(ids[0], 1), "send_req")
        self.assertEqual([(s.client_msg_id, s.predecessor) for s in sent], [(ids[2], ids[1])])

    def test_a_refused_send_waits_and_those_behind_it_follow_it(self) -> None:
        bench = self.bench()
        ids = [bench.sends(text) for text in (b"1", b"2")]
        bench.open()
        bench.refuses(ids[0], "RATE_LIMITED", "NOT_DONE", "LATER", after=60_000)
        bench.refuses(ids[1], "OUT_OF_ORDER", "NOT_DONE", "AFTER_PREDECESSOR")
        self.assertEqual(of(bench.after(59_999), "send_req"), [])
        sent = of(bench.after(1), "send_req")
        self.assertEqual([s.client_msg_id for s in sent], ids)

    def test_silence_is_repeated_and_then_unknown_and_never_failed(self) -> None:
        bench = self.bench(dedup_window_ms=60_000)
        id = bench.sends(b"1")
        bench.open()
        self.assertEqual(of(bench.after(TIMERS["send_timeout_ms"] - 1), "send_req"), [])
        bench.after(1)
        bench.at = bench.again
        self.assertEqual([s.client_msg_id for s in of(bench.after(TIMERS["send_retry_ms_max"]), "send_req")], [id])
        asked = of(bench.after(60_000), "query_send")
        self.assertEqual([item.client_msg_id for item in asked[0].sends], [id])
        self.assertGreaterEqual(asked[0].sends[0].age_ms, 60_000)
        self.assertEqual([fields["state"] for fields in bench.told("state")], ["queued", "sending", "unknown"])
        self.assertEqual(of(bench.after(60_000), "send_req"), [])

    def test_a_definite_refusal_ends_a_send_and_its_successor_names_none(self) -> None:
        bench = self.bench()
        ids = [bench.sends(text) for text in (b"1", b"2")]
        bench.open()
        bench.refuses(ids[1], "OUT_OF_ORDER", "NOT_DONE", "AFTER_PREDECESSOR")
        bench.refuses(ids[0], "FORBIDDEN", "NOT_DONE", "NEVER")
        self.assertEqual(bench.told("state")[-1], {"client_msg_id": ids[0], "state": "failed", "code": "FORBIDDEN"})
        sent = of(bench.after(30_000), "send_req")
        self.assertEqual([(s.client_msg_id, s.predecessor) for s in sent], [(ids[1], b"")])

    def test_another_process_goes_on_with_the_same_sends_in_their_order(self) -> None:
        bench = self.bench()
        ids = [bench.sends(str(n).encode()) for n in range(12)]
        first = [s.SerializeToString() for s in of(bench.open(), "send_req")]
        bench = self.bench()
        again = of(bench.open(), "send_req")
        self.assertEqual([s.client_msg_id for s in again], ids)
        self.assertEqual([s.SerializeToString() for s in again], first)

    def test_a_withdrawn_send_that_was_taken_all_the_same_is_fetched(self) -> None:
        bench = self.bench()
        id = bench.sends(b"1")
        bench.open()
        bench.engine.outbox.withdraw(id)
        pulls = of(bench.accepts(id, 1), "pull_offline")
        self.assertEqual([pull.after for pull in pulls], [0])

    # --- the inbox

    def test_a_push_behind_a_hole_is_neither_shown_nor_acknowledged(self) -> None:
        bench = self.bench()
        bench.open()
        bench.pushes_entry(1)
        bench.pushes_entry(3)
        sent = bench.after(TIMERS["ack_delay_ms_max"])
        self.assertEqual([ack.up_to for ack in of(sent, "deliver_ack")], [1])
        self.assertEqual([(pull.after, pull.entries_max) for pull in of(sent, "pull_offline")], [(1, 2)])
        self.assertEqual([fields["entry"].seq for fields in bench.told("message")], [1])

    def test_the_own_slot_that_comes_late_closes_the_hole_without_a_pull(self) -> None:
        bench = self.bench()
        id = bench.sends(b"mine")
        bench.open()
        bench.pushes_entry(2)
        bench.after(100)
        self.assertEqual(of(bench.accepts(id, 1), "pull_offline"), [])
        self.assertEqual([fields["entry"].seq for fields in bench.told("message")], [1, 2])

    def test_a_break_in_push_seq_ends_the_session_with_nothing_behind_it_acknowledged(self) -> None:
        bench = self.bench()
        bench.open()
        bench.pushes_entry(1)
        bench.pushes = 2
        sent = bench.pushes_entry(3)
        self.assertEqual([ack.up_to for ack in of(sent, "deliver_ack")], [1])
        self.assertEqual(sent[-1][0], "hang up")

    def test_a_seq_above_2_to_the_63_survives_the_store(self) -> None:
        bench = self.bench()
        bench.open()
        seq = 2**64 - 2
        room = bench.engine.inbox.room(BEN)
        room.cursor = seq - 1
        bench.pushes_entry(seq)
        bench = self.bench()
        self.assertEqual(bench.engine.inbox.room(BEN).cursor, seq)
        self.assertEqual([entry.seq for entry in bench.store.entries(BEN)], [seq])

    def test_too_much_behind_a_hole_costs_the_newest_and_not_the_oldest(self) -> None:
        bench = self.bench()
        bench.open()
        for seq in range(2, 700):
            bench.pushes_entry(seq)
        held = bench.engine.inbox.room(BEN).held
        self.assertEqual((min(held), len(held)), (2, 512))
        bench.pushes_entry(1)
        self.assertEqual(bench.engine.inbox.room(BEN).cursor, 513)
        self.assertEqual(bench.engine.inbox.room(BEN).head, 699)

    def test_a_damaged_entry_is_pulled_three_times_then_passed_and_reported(self) -> None:
        bench = self.bench()
        bench.open()
        sent = bench.pushes_entry(1, damaged=True)
        for turn in range(3):
            pull = of(sent, "pull_offline")[0]
            self.assertEqual(pull.after, 0)
            entry = {"seq": 1, "message": {"sender_id": "ben", "client_msg_id": bytes(16), "body": b"x", "body_crc32": 1}}
            page = {"request_id": pull.request_id, "conversation": {"user_id": "ben"}, "entries": [entry], "head": 1, "floor": 1}
            sent = bench.gives(offline_page=page)
        self.assertEqual([error.seq for error in of(sent, "error")], [1])
        self.assertEqual([fields["entry"].condition for fields in bench.told("message")], ["damaged"])

    def test_another_epoch_keeps_the_entries_and_takes_the_servers_cursor(self) -> None:
        bench = self.bench()
        bench.open()
        for seq in (1, 2, 3):
            bench.pushes_entry(seq)
        bench = self.bench(epoch="e2")
        sent = bench.open(synced=False)
        self.assertEqual(of(sent, "pull_offline"), [])
        request = of(sent, "sync_req")[0]
        self.assertEqual(request.token, b"")
        state = {"conversation": {"user_id": "ben"}, "head": 2, "floor": 1, "cursor": 1}
        sent = bench.gives(sync_page={"request_id": request.request_id, "conversations": [state], "token": b"t"})
        self.assertEqual([pull.after for pull in of(sent, "pull_offline")], [1])
        self.assertEqual(bench.told("unconfirmed"), [{"conversation": BEN, "above": 1}])
        self.assertEqual([entry.seq for entry in bench.store.entries(BEN, unconfirmed=True)], [1, 2, 3])

    def test_a_push_of_the_new_log_in_front_of_its_sync_is_fetched_and_then_acknowledged(self) -> None:
        bench = self.bench()
        bench.open()
        for seq in (1, 2, 3):
            bench.pushes_entry(seq)
        bench = self.bench(epoch="e2")
        bench.sends(b"mine")
        sent = bench.open(synced=False)
        self.assertEqual(of(sent, "send_req"), [])
        request = of(sent, "sync_req")[0]
        bench.pushes_entry(1, body=b"another")
        sent = bench.gives(sync_page={"request_id": request.request_id, "token": b"t"})
        self.assertEqual(len(of(sent, "send_req")), 1)
        pull = of(sent, "pull_offline")[0]
        self.assertEqual((pull.after, of(sent, "deliver_ack")), (0, []))
        message = {"sender_id": "ben", "client_msg_id": b"another".rjust(16), "body": b"another", "body_crc32": crc32(b"another")}
        page = {"request_id": pull.request_id, "conversation": {"user_id": "ben"}, "head": 1, "floor": 1}
        bench.gives(offline_page={**page, "entries": [{"seq": 1, "message": message}]})
        self.assertEqual([ack.up_to for ack in of(bench.after(TIMERS["ack_delay_ms_max"]), "deliver_ack")], [1])
        self.assertEqual([entry.body for entry in bench.store.entries(BEN, unconfirmed=True)], [b"another", b"x", b"x", b"x"])

    def test_a_cursor_that_the_server_calls_ahead_goes_back_to_its_head_after_a_sync(self) -> None:
        bench = self.bench()
        bench.open()
        for seq in (1, 2, 3):
            bench.pushes_entry(seq)
        sent = bench.gives(head_notify={"conversation": {"user_id": "ben"}, "head": 4})
        pull = of(sent, "pull_offline")[0]
        error = {"code": ERROR_CODE["ERROR_CODE_CURSOR_AHEAD"], "scope": 1, "retry": RETRY_CLASS["RETRY_CLASS_AFTER_RESYNC"]}
        sent = bench.gives(error={**error, "request_id": pull.request_id, "frame_kind": 6, "seq": 2})
        self.assertEqual(of(bench.after(20_000), "pull_offline"), [])
        request = of(sent, "sync_req")[0]
        bench.gives(sync_page={"request_id": request.request_id, "token": b"t2"})
        self.assertEqual(bench.engine.inbox.room(BEN).cursor, 2)
        self.assertEqual(bench.told("unconfirmed"), [{"conversation": BEN, "above": 2}])

    # --- the session and coming back

    def test_a_hello_of_a_later_run_is_above_those_of_the_one_before(self) -> None:
        hellos = []
        for _ in range(2):
            bench = self.bench()
            hellos += of(bench.settle(), "hello")
        self.assertEqual([(hello.run, hello.attempt) for hello in hellos], [(1, 1), (2, 1)])

    def test_a_timer_of_zero_is_a_broken_server_and_no_busy_loop(self) -> None:
        bench = self.bench(heartbeat_ms=0)
        self.assertEqual(bench.open()[-1][0], "hang up")
        self.assertEqual(bench.after(TIMERS["reconnect_ms_min"] - 1), [])

    def test_nothing_is_asked_behind_a_goaway(self) -> None:
        bench = self.bench()
        bench.open()
        bench.gives(go_away={"code": ERROR_CODE["ERROR_CODE_DRAINING"], "retry": 5, "close_after_ms": 5_000})
        bench.sends(b"1")
        self.assertEqual(bench.after(0), [])

    def test_a_folder_of_another_user_is_left_alone(self) -> None:
        self.bench().open()
        bench = self.bench(user_id="eve")
        bench.sends(b"1")
        self.assertEqual([kind for kind, _ in bench.open()], ["hang up"])
        self.assertEqual(bench.told("connection")[-1], {"state": "stopped", "code": "OTHER_USER"})

    def test_a_limit_of_0_is_a_broken_server_but_for_the_receive_window(self) -> None:
        self.assertEqual([kind for kind, _ in self.bench(page_entries_max=0).open()], ["hang up"])
        self.assertNotIn("hang up", [kind for kind, _ in self.bench(receive_window=0).open()])

    def test_two_clients_cannot_have_one_folder(self) -> None:
        self.bench()
        with self.assertRaises(StoreError):
            Store(Path(self.folder))


if __name__ == "__main__":
    unittest.main()
