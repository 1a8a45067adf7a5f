"""What a member sees who left a group and came back, which no case of the suite plays; and that a store has one server."""

from __future__ import annotations

import tempfile
import unittest

from server.store import Store, StoreInUse
from wire.messages import message_class

Entry = message_class("Entry")


class StoreTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.store = Store(self.folder)
        self.addCleanup(self.store.close)

    def say(self, count: int) -> None:
        log = self.store.group("team")
        for _ in range(count):
            seq = log.head + 1
            self.store.append(log, seq, "ann", "ann-1", Entry(seq=seq).SerializeToString())

    def view(self, user: str):
        return self.store.view(self.store.group("team"), user)

    def test_who_left_and_came_back_sees_both_stays_and_a_gap_between_them(self) -> None:
        self.store.make_group("team", ["ann"])
        self.say(3)
        self.store.join(self.store.group("team"), "eve")
        self.assertEqual((self.view("eve").head, self.view("eve").floor), (0, 1), "nothing was said since the joining")
        self.say(1)
        self.store.leave(self.store.group("team"), "eve")
        self.say(1)
        self.assertEqual((self.view("eve").head, self.view("eve").member), (4, False))
        self.store.join(self.store.group("team"), "eve")
        self.assertEqual(self.view("eve").head, 4, "nothing was said since the second joining")
        self.say(1)
        view = self.view("eve")
        self.assertEqual((view.head, view.floor, view.member), (6, 4, True))
        self.assertEqual(view.run_after(0), (4, 4))
        self.assertEqual(view.run_after(4), (6, 6))
        self.assertEqual(view.run_before(6), (4, 4))
        self.assertIsNone(view.run_before(4))

    def test_who_comes_back_before_anything_was_said_has_missed_nothing(self) -> None:
        self.store.make_group("team", ["ann", "eve"])
        self.say(1)
        log = self.store.group("team")
        self.store.leave(log, "eve")
        self.store.join(log, "eve")
        self.say(1)
        self.assertEqual(self.view("eve").run_after(0), (1, 1))
        self.assertEqual(self.view("eve").run_after(1), (2, 2))

    def test_seqs_keep_all_their_64_bits(self) -> None:
        first = (1 << 64) - 2
        self.store.make_group("team", ["ann"], first)
        self.say(2)
        self.assertEqual((self.view("ann").head, self.view("ann").floor), (first + 1, first))

    def test_a_second_server_does_not_get_the_same_store(self) -> None:
        with self.assertRaises(StoreInUse):
            Store(self.folder)


if __name__ == "__main__":
    unittest.main()
