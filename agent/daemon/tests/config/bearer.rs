//! `[bearer.NAME]`.

use std::time::Duration;

use lamplighter::config::{AtCap, BearerKind, Manage, Tier};

use crate::{
    SERVER, check, directory, problems::assert_cases, problems::found, put, put_secret, source,
};

#[test]
fn bearers_come_in_the_order_of_their_names_with_the_defaults_of_their_kind() {
    let text = format!(
        "{SERVER}[bearer.phone]\nkind = \"tether-usb\"\n\
         [bearer.cable]\nkind = \"ethernet\"\ninterface = \"eth0\"\n\
         [bearer.lte]\nkind = \"cellular\"\n"
    );
    let checked = check("bearers", &text);
    assert_eq!(checked.problems, []);
    let bearers = checked.config.unwrap().bearers;
    let names: Vec<_> = bearers
        .iter()
        .map(|bearer| (bearer.name.as_str(), bearer.interface.as_deref()))
        .collect();
    assert_eq!(
        names,
        [("cable", Some("eth0")), ("lte", None), ("phone", None)]
    );
    for bearer in &bearers {
        assert_eq!(bearer.timing, bearer.kind.timing(), "{}", bearer.name);
        assert_eq!((bearer.priority, bearer.manage), (100, Manage::None));
        assert_eq!(
            (bearer.tier, bearer.metered, bearer.cap),
            (None, None, None)
        );
    }
    let kinds = bearers.iter().map(|bearer| bearer.kind.is_metered());
    assert!(kinds.eq([false, true, true]));
}

#[test]
fn everything_of_a_modem_can_be_said() {
    let directory = directory("modem");
    put_secret(&directory, "credentials/apn", b"text:swordfish\n");
    put_secret(&directory, "credentials/sim-pin", b"text:1234\n");
    let text = format!(
        "{SERVER}[bearer.lte]\nkind = \"cellular\"\ninterface = \"wwan0\"\npriority = 7\n\
         tier = \"backup\"\nmetered = false\nmanage = \"modemmanager\"\napn = \"iot.example\"\n\
         apn_user = \"box\"\napn_password = \"credential:apn\"\npin = \"credential:sim-pin\"\n\
         dns = [\"9.9.9.9\", \"2620:fe::fe\"]\nsms_from = [\"+4915112345678\", \"22922\"]\n\
         [bearer.lte.cap]\nmonth = \"200MiB\"\nat_cap = \"urgent\"\n\
         [bearer.lte.probe]\nactive_s = 90\nstandby_s = 1800\ntimeout_s = 12.5\ndown = 2\nup = 1\nhold_s = 0\n"
    );
    put(&directory, "lamplighter.toml", &text);
    let checked = source(&directory).check();
    assert_eq!(checked.problems, []);
    let [lte] = checked.config.unwrap().bearers.try_into().unwrap();
    assert_eq!((lte.kind, lte.priority), (BearerKind::Cellular, 7));
    assert_eq!((lte.tier, lte.metered), (Some(Tier::Backup), Some(false)));
    let apn = lte.apn.unwrap();
    assert_eq!(
        (apn.name.as_str(), apn.user.as_deref()),
        ("iot.example", Some("box"))
    );
    assert!(apn.password.is_some() && lte.pin.is_some());
    assert_eq!(lte.dns.len(), 2);
    assert_eq!(lte.sms_from, ["+4915112345678", "22922"]);
    let cap = lte.cap.unwrap();
    assert_eq!((cap.day, cap.month), (None, Some(200 << 20)));
    assert_eq!(cap.at_cap, AtCap::Urgent);
    let timing = lte.timing;
    assert_eq!(timing.timeout, Duration::from_millis(12_500));
    assert_eq!(
        (timing.down, timing.up, timing.hold),
        (2, 1, Duration::ZERO)
    );
}

#[test]
fn what_is_wrong_with_a_bearer_is_said_at_its_line() {
    assert_cases(
        "bearer",
        &[
            (
                "[bearer.lte]\n",
                &[(1, "the key `kind` is missing in [bearer.lte]")],
            ),
            // Of a table whose kind nobody knows only that is said, and which keys no kind has.
            (
                "[bearer.lte]\nkind = \"lte\"\npriority = -1\nintreface = \"wwan0\"\n",
                &[
                    (2, "unknown value `lte`"),
                    (4, "unknown key `intreface` (did you mean `interface`?)"),
                ],
            ),
            (
                "[bearer.lte]\nkind = \"cellular\"\ntier = \"best\"\nmanage = \"me\"\npriority = 65536\nmetered = 1\n",
                &[
                    (3, "unknown value `best`"),
                    (4, "unknown value `me`"),
                    (5, "65536 is not within 0 to 65535"),
                    (6, "expected true or false"),
                ],
            ),
            (
                "[bearer.\"two words\"]\nkind = \"wifi\"\n",
                &[(1, "`two words` cannot be a name")],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\ninterface = \"a/b\"\n\
                 [bearer.b]\nkind = \"wifi\"\ninterface = \"sixteen_letters_\"\n\
                 [bearer.c]\nkind = \"cellular\"\ninterface = \"..\"\n",
                &[
                    (3, "`a/b` is not the name of an interface"),
                    (6, "`sixteen_letters_` is not the name of an interface"),
                    (9, "`..` is not the name of an interface"),
                ],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\ninterface = \"eth0\"\n\
                 [bearer.b]\nkind = \"wifi\"\ninterface = \"eth0\"\n",
                &[(
                    6,
                    "eth0 is that of [bearer.a] too (one bearer has one interface)",
                )],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\n[bearer.b]\nkind = \"ethernet\"\n",
                &[(3, "[bearer.a] is the first of this kind too")],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\n[bearer.a.cap]\nat_cap = \"block\"\n",
                &[(3, "neither `day` nor `month`")],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\ncap = { day = \"20MB\", month = \"1KiB\", at_cap = \"stop\" }\n",
                &[
                    (3, "`20MB` is not a size"),
                    (3, "`1KiB` is out of range"),
                    (3, "unknown value `stop`"),
                ],
            ),
        ],
    );
}

#[test]
fn what_only_a_manager_can_do_needs_one() {
    assert_cases(
        "bearer-manager",
        &[
            (
                "[bearer.a]\nkind = \"ethernet\"\nmanage = \"modemmanager\"\n",
                &[(3, "ModemManager connects modems only")],
            ),
            (
                "[bearer.a]\nkind = \"cellular\"\napn = \"iot.example\"\n",
                &[(3, "nobody connects this bearer")],
            ),
            (
                "[bearer.a]\nkind = \"cellular\"\nmanage = \"networkmanager\"\napn = \"iot example\"\n",
                &[(4, "`iot example` is no access point name")],
            ),
            (
                "[bearer.a]\nkind = \"cellular\"\nmanage = \"modemmanager\"\napn_user = \"a\"\napn_password = \"credential:apn\"\n",
                &[
                    (4, "there is no `apn` to use it for"),
                    (5, "there is no `apn` to use it for"),
                ],
            ),
            (
                "[bearer.a]\nkind = \"cellular\"\nmanage = \"networkmanager\"\npin = \"credential:main-psk\"\nsms_from = [\"+4915112345678\"]\n",
                &[
                    (4, "only ModemManager can do that"),
                    (5, "only ModemManager can do that"),
                ],
            ),
            (
                "[bearer.a]\nkind = \"cellular\"\nmanage = \"modemmanager\"\npin = \"credential:nowhere\"\nsms_from = [\"+49 151\", \"12\", \"me\"]\n",
                &[
                    (4, "nowhere"),
                    (5, "`+49 151` is no telephone number"),
                    (5, "`12` is no telephone number"),
                    (5, "`me` is no telephone number"),
                ],
            ),
        ],
    );
}

#[test]
fn name_servers_and_the_pace_of_questions_are_checked() {
    assert_cases(
        "bearer-pace",
        &[
            (
                "[bearer.a]\nkind = \"cellular\"\n[bearer.a.cap]\nmonth = \"5MiB\"\nday = \"1MiB\"\n",
                &[(4, "watching it takes 6.1 MB a month, more than that")],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\ndns = [\"9.9.9.9\", \"dns.example\", \"1.1.1.1\", \"1.0.0.1\", \"8.8.8.8\"]\n",
                &[
                    (3, "5 name servers"),
                    (3, "`dns.example` is not an address"),
                ],
            ),
            (
                "[bearer.a]\nkind = \"ethernet\"\n[bearer.a.probe]\nactive_s = 0.5\nstandby_s = 90000\n\
                 timeout_s = 0.1\ndown = 0\nup = 21\nhold_s = -1\n",
                &[
                    (4, "`active_s = 0.5` is not within 1 to 86400"),
                    (5, "`standby_s = 90000` is not within 1 to 86400"),
                    (6, "`timeout_s = 0.1` is not within 0.2 to 120"),
                    (7, "`down = 0` is not within 1 to 20"),
                    (8, "`up = 21` is not within 1 to 20"),
                    (9, "`hold_s = -1` is not within 0 to 86400"),
                ],
            ),
        ],
    );
}

#[test]
fn more_bearers_and_senders_than_help_anybody_are_refused() {
    let many: String = (0..17)
        .map(|number| format!("[bearer.b{number}]\nkind = \"wifi\"\ninterface = \"w{number}\"\n"))
        .collect();
    let problems = found("many-bearers", &many);
    assert_eq!(problems.len(), 1, "{problems:#?}");
    assert!(
        problems[0].1.contains("17 bearers (at most 16)"),
        "{problems:#?}"
    );
    let senders: Vec<String> = (0..17)
        .map(|number| format!("\"+4915100000{number:02}\""))
        .collect();
    let text = format!(
        "[bearer.a]\nkind = \"cellular\"\nmanage = \"modemmanager\"\nsms_from = [{}]\n",
        senders.join(", ")
    );
    let problems = found("many-senders", &text);
    assert!(
        matches!(&problems[..], [(4, what)] if what.contains("17 senders (at most 16)")),
        "{problems:#?}"
    );
}
