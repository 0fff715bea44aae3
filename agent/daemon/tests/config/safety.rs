//! Interlocks, hand switches, feedback contacts and shortest times: what cannot be met is found at
//! its line.

use crate::problems::{assert_cases, found};

const AHU: &str = "[device.ahu]\nadapter = \"sim\"\n\
    point.cooler = { resource = \"/3306/0/5850\" }\npoint.heater = { resource = \"/3306/1/5850\" }\n\
    point.room = { resource = \"/3303/0/5700\" }\npoint.hand = { resource = \"/3342/9/5500\" }\n\
    point.zero = { resource = \"/3342/8/5500\" }\n";

fn behind_ahu(text: &str) -> Vec<(usize, String)> {
    let lines = AHU.lines().count();
    let found = found("safety", &format!("{AHU}{text}"));
    found
        .into_iter()
        .map(|(line, what)| (line - lines, what))
        .collect()
}

fn assert_one(text: &str, line: usize, words: &str) {
    let found = behind_ahu(text);
    assert!(
        matches!(&found[..], [(at, what)] if *at == line && what.contains(words)),
        "{text}{found:#?}"
    );
}

#[test]
fn an_interlock_that_can_be_met_is_accepted() {
    let text = "[site.interlock.a]\nnever_together = [\"ahu.cooler\", \"/3306/1/5850\"]\ndead_time_s = 60\n";
    assert_eq!(behind_ahu(text), []);
}

#[test]
fn an_interlock_that_cannot_be_met_is_refused() {
    for (members, words) in [
        ("[\"ahu.cooler\"]", "between at least two outputs"),
        ("[\"ahu.cooler\", \"/3306/0/5850\"]", "is a member twice"),
        (
            "[\"ahu.cooler\", \"ahu.cooller\"]",
            "there is no point `ahu.cooller`",
        ),
        (
            "[\"ahu.cooler\", \"ahu.room\"]",
            "`ahu.room` cannot be switched",
        ),
        ("[]", "between at least two outputs"),
    ] {
        let text = format!("[site.interlock.a]\nnever_together = {members}\n");
        assert_one(&text, 2, words);
    }
    assert_one("[site.interlock.a]\n", 1, "`never_together` is missing");
    let late = "[site.interlock.a]\nnever_together = [\"ahu.cooler\", \"ahu.heater\"]\ndead_time_s = 3601\n";
    assert_one(late, 3, "is not within 0 to 3600");
}

#[test]
fn members_that_go_on_by_themselves_contradict_an_interlock() {
    let lamps = "[device.l]\nadapter = \"gpio\"\nbackend = \"sim\"\n\
        point.a = { line = \"A\", instance = \"/3416/1\", boot = \"on\" }\n\
        point.b = { line = \"B\", instance = \"/3416/2\", fail_safe = { on = \"server_lost\", value = true } }\n\
        point.c = { line = \"C\", instance = \"/3416/3\" }\n";
    let interlock =
        |members: &str| format!("{lamps}[site.interlock.a]\nnever_together = [{members}]\n");
    assert_one(
        &interlock("\"l.a\", \"l.b\""),
        8,
        "go on by themselves: l.a (boot = \"on\") and l.b (fail_safe",
    );
    assert_eq!(behind_ahu(&interlock("\"l.a\", \"l.c\"")), []);
    let group = "[site.group.g]\nmembers = [\"l.a\", \"l.c\"]\n";
    assert_one(
        &format!("{}{group}", interlock("\"l.a\", \"l.c\"")),
        8,
        "the group g switches several of them on together",
    );
}

#[test]
fn a_hand_switch_is_a_contact() {
    let group =
        |manual: &str| format!("[site.group.g]\nmembers = [\"ahu.cooler\"]\nmanual = {manual}\n");
    for fine in [
        "{ input = \"ahu.hand\" }",
        "{ input = \"ahu.hand\", off_input = \"ahu.zero\", limit_s = 7200 }",
    ] {
        assert_eq!(behind_ahu(&group(fine)), []);
    }
    for (manual, words) in [
        ("{}", "`input` is missing"),
        ("{ input = \"ahu.room\" }", "`ahu.room` is not a contact"),
        (
            "{ input = \"ahu.heater\" }",
            "`ahu.heater` is not a contact",
        ),
        ("{ input = \"ahu.hnad\" }", "there is no point `ahu.hnad`"),
        (
            "{ input = \"ahu.hand\", off_input = \"ahu.hand\" }",
            "the same contact",
        ),
        (
            "{ input = \"ahu.hand\", limit_s = 5 }",
            "is not within 60 to",
        ),
    ] {
        assert_one(&group(manual), 3, words);
    }
}

#[test]
fn feedback_contacts_and_shortest_times_are_checked() {
    assert_cases(
        "feedback",
        &[
            (
                "[device.l]\nadapter = \"gpio\"\nbackend = \"sim\"\ndefaults.min_switch_s = 2\n\
                 point.a = { line = \"A\", instance = \"/3416/1\", feedback = { line = \"B\", within_ms = 500 } }\n\
                 point.c = { line = \"C\", resource = \"/3342/0/5500\" }\n",
                &[],
            ),
            (
                "[device.l]\nadapter = \"gpio\"\nbackend = \"sim\"\n\
                 point.a = { line = \"A\", instance = \"/3416/1\", feedback = { line = \"B\" } }\n\
                 point.b = { line = \"B\", resource = \"/3342/0/5500\" }\n",
                &[(5, "line B is also that of `l.a`")],
            ),
            (
                "[device.l]\nadapter = \"gpio\"\nbackend = \"sim\"\n\
                 point.a = { line = \"A\", resource = \"/3342/0/5500\", feedback = { line = \"B\" }, min_switch_s = 2 }\n\
                 point.b = { line = \"C\", instance = \"/3416/1\", feedback = { within_ms = 5000 }, min_switch_s = -1 }\n",
                &[
                    (4, "only an output has a feedback contact"),
                    (4, "only outputs are switched"),
                    (5, "`line` is missing"),
                    (5, "is not within 10 to 3000"),
                    (5, "is not within 0 to 3600"),
                ],
            ),
        ],
    );
}

#[test]
fn a_watch_of_lamps_has_a_target_an_input_and_a_threshold() {
    let power = "[device.m]\nadapter = \"sim\"\npoint.power = { resource = \"/3305/0/5800\" }\n";
    let watch = |keys: &str| format!("{power}[site.lamp_watch.w]\n{keys}\n");
    let fine = "target = \"ahu.cooler\"\ninput = \"m.power\"\non_below = 40.0\noff_above = 5\nafter_s = 60";
    assert_eq!(behind_ahu(&watch(fine)), []);
    for (keys, line, words) in [
        (
            "input = \"m.power\"\non_below = 1.0",
            4,
            "`target` is missing",
        ),
        (
            "target = \"ahu.cooler\"\non_below = 1.0",
            4,
            "`input` is missing",
        ),
        (
            "target = \"ahu.cooler\"\ninput = \"m.power\"",
            4,
            "`on_below` is missing",
        ),
        (
            "target = \"ahu.room\"\ninput = \"m.power\"\non_below = 1.0",
            5,
            "`ahu.room` cannot be switched",
        ),
        (
            "target = \"ahu.cooler\"\ninput = \"ahu.hand\"\non_below = 1.0",
            6,
            "`ahu.hand` is not a measured number",
        ),
        (
            "target = \"ahu.cooler\"\ninput = \"m.power\"\non_below = 1.0\nafter_s = 1",
            8,
            "is not within 10 to 86400",
        ),
    ] {
        assert_one(&watch(keys), line, words);
    }
    let twice = format!(
        "{}[site.lamp_watch.x]\ntarget = \"/3306/0/5850\"\ninput = \"m.power\"\noff_above = 1\n",
        watch(fine)
    );
    assert_one(&twice, 11, "ahu.cooler is also watched by w");
}

#[test]
fn the_wait_after_a_return_of_power_is_bounded() {
    let group = "[site.group.g]\nmembers = [\"ahu.cooler\"]\npower_return_spread_s = ";
    assert_eq!(behind_ahu(&format!("{group}120\n")), []);
    assert_one(&format!("{group}601\n"), 3, "is not within 0 to 600");
    let point = "[device.x]\nadapter = \"sim\"\npoint.a = { resource = \"/3303/1/5700\", power_return_spread_s = 5 }\n";
    assert_one(point, 3, "only outputs are switched");
}
