#!/usr/bin/env python3
"""Each rule of tidy.py is shown one tree that breaks it and one that does not."""

import unittest

import tidy

FLOORS = """base: 0 | - | fmt | -
io: 1 | base | - | -
io/linux: 2 | io | - | -
net: 2 | io | - | sim
sim: 2 | io | - | -
"""


def found(rule, files):
    return list(rule(tidy.Tree(files)))


def body(lines):
    return "int f() {\n" + "  g();\n" * (lines - 2) + "}\n"


class TidyTest(unittest.TestCase):
    def breaks(self, rule, files):
        self.assertTrue(found(rule, files), f"{rule.__name__} did not object")

    def keeps(self, rule, files):
        self.assertEqual(found(rule, files), [])

    def test_long_line(self):
        self.keeps(tidy.lines_are_short, {"src/base/a.cc": "x" * 120, "doc/a.md": "x" * 200})
        self.breaks(tidy.lines_are_short, {"src/base/a.cc": "x" * 121})

    def test_tab(self):
        self.keeps(tidy.no_tabs, {"src/base/a.cc": "  x"})
        self.breaks(tidy.no_tabs, {"src/base/a.cc": "\tx"})

    def test_todo_without_when(self):
        self.keeps(tidy.todos_say_when, {"src/base/a.cc": "// TODO(perf): merge"})
        self.breaks(tidy.todos_say_when, {"src/base/a.cc": "// TODO: merge"})
        self.breaks(tidy.todos_say_when, {"src/base/a.cc": "// TODO(me): merge"})
        self.breaks(tidy.todos_say_when, {"src/base/a.cc": "// FIXME"})

    def test_unguarded_header(self):
        self.keeps(tidy.headers_are_guarded, {"src/base/a.h": "#pragma once\n"})
        self.breaks(tidy.headers_are_guarded, {"src/base/a.h": "int x;\n"})

    def test_header_that_is_not_the_first(self):
        header = {"src/base/a.h": "#pragma once\n"}
        self.keeps(tidy.headers_stand_alone, header)
        self.keeps(tidy.headers_stand_alone, {**header, "src/base/a.cc": '#include "base/a.h"\n#include <map>\n'})
        self.breaks(tidy.headers_stand_alone, {**header, "src/base/a.cc": '#include <map>\n#include "base/a.h"\n'})
        self.breaks(tidy.headers_stand_alone, {**header, "src/base/a.cc": "int a;\n"})

    def test_long_function(self):
        self.keeps(tidy.lengths_do_not_grow, {"src/base/a.cc": body(60)})
        self.breaks(tidy.lengths_do_not_grow, {"src/base/a.cc": body(61)})

    def test_long_function_after_member_initializers(self):
        head = "A::A(int x)\n    : a_{x}, b_{x} {\n"
        self.breaks(tidy.lengths_do_not_grow, {"src/base/a.cc": head + "  g();\n" * 60 + "}\n"})

    def test_long_function_inside_a_class(self):
        text = "namespace m {\nclass A {\n public:\n" + body(61) + "};\n}\n"
        self.breaks(tidy.lengths_do_not_grow, {"src/base/a.h": text})

    def test_class_and_table_are_no_functions(self):
        text = "class A {\n" + "  int f();\n" * 70 + "};\nconst int table[] = {\n" + "  1,\n" * 70 + "};\n"
        self.keeps(tidy.lengths_do_not_grow, {"src/base/a.cc": text})

    def test_long_file(self):
        self.keeps(tidy.lengths_do_not_grow, {"src/base/a.cc": "\n" * 500})
        self.breaks(tidy.lengths_do_not_grow, {"src/base/a.cc": "\n" * 501})

    def test_ratchet(self):
        long = {"src/base/a.cc": body(70)}
        self.keeps(tidy.lengths_do_not_grow, {**long, tidy.RATCHET: "function src/base/a.cc f 70 a table of cases\n"})
        self.breaks(tidy.lengths_do_not_grow, {**long, tidy.RATCHET: "function src/base/a.cc f 69 a table of cases\n"})
        self.breaks(tidy.lengths_do_not_grow, {**long, tidy.RATCHET: "function src/base/a.cc f 70\n"})
        self.breaks(tidy.lengths_do_not_grow, {tidy.RATCHET: "file src/base/a.cc 501 gone\n"})

    def floors(self, path, include):
        return {"tools/floors.txt": FLOORS, path: f'#include "{include}"\n'}

    def test_floors(self):
        rule = tidy.includes_keep_to_floors
        self.keeps(rule, self.floors("src/net/a.cc", "base/status.h"))
        self.keeps(rule, self.floors("src/net/a.cc", "net/a.h"))
        self.keeps(rule, self.floors("src/net/a_test.cc", "sim/machine.h"))
        self.breaks(rule, self.floors("src/net/a.cc", "sim/machine.h"))
        self.breaks(rule, self.floors("src/net/a.cc", "io/linux/ring.h"))
        self.breaks(rule, self.floors("src/base/a.h", "io/file.h"))
        self.breaks(rule, self.floors("src/attic/a.h", "base/status.h"))
        self.breaks(rule, {"tools/floors.txt": FLOORS + "brick: 0 | net | - | -\n"})
        self.breaks(rule, {"tools/floors.txt": FLOORS + "brick: 1 | bass | - | -\n"})

    def test_forbidden_words(self):
        rule = tidy.words_are_ours
        self.keeps(rule, {"src/base/a.h": "// no journal\nint legacy, illegal, volunteer;\n"})
        for name in ("journal", "log_master", "RedoLog", "kBitmap", "leg_count", "LUN", "rebuild_"):
            self.breaks(rule, {"src/base/a.h": f"int {name};\n"})
        self.keeps(rule, {"src/base/a.cc": "int journal;\n"})

    def test_world_above_io(self):
        rule = tidy.nothing_reads_the_world
        self.keeps(rule, {"src/base/a.cc": "// std::thread\nint operand(1);\n"})
        self.keeps(rule, {"src/io/linux/a.cc": "std::thread t;\n"})
        for text in ("std::thread t;", "std::chrono::steady_clock::now()", "rand()", "std::random_device d;",
                     "std::uniform_int_distribution<int> d;", "clock_gettime(CLOCK_REALTIME, &t)"):
            self.breaks(rule, {"src/net/a.cc": text})

    def test_loop_without_order(self):
        rule = tidy.order_is_defined
        member = "std::unordered_map<int, std::vector<int>> peers_;\n"
        self.keeps(rule, {"src/net/a.h": member, "src/net/a.cc": "peers_.find(1);\n"})
        self.breaks(rule, {"src/net/a.h": member, "src/net/a.cc": "for (auto& [id, peer] : peers_) x();\n"})
        self.breaks(rule, {"src/net/a.cc": member + "auto i = peers_.begin();\n"})

    def test_brick_without_test_or_page(self):
        rule = tidy.bricks_are_tested_and_described
        brick = {"src/bricks/null.h": "class Null final : public xio::Output {\n};\n"}
        self.breaks(rule, {**brick, "src/bricks/null_test.cc": ""})
        self.breaks(rule, {**brick, "doc/brick/null.md": ""})
        self.keeps(rule, {**brick, "src/bricks/null_test.cc": "", "doc/brick/null.md": ""})
        self.keeps(rule, {"src/bricks/shadow_index.h": "class ShadowIndex {\n};\n"})

    def test_path_of_one_machine(self):
        self.keeps(tidy.pages_name_no_machine, {"doc/a.md": "see /var/lib/mars"})
        self.breaks(tidy.pages_name_no_machine, {"doc/a.md": "see /home/me/mars"})


if __name__ == "__main__":
    unittest.main()
