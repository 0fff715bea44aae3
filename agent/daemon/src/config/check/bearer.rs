//! `[bearer.NAME]`.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{Checker, below, key};
use crate::{
    bearer::{AddressFamily, cost::Cost},
    config::{
        checked::{Apn, Bearer, BearerKind, Cap, Manage, PRIORITY, Timing},
        layer::Key,
        schema,
        secret::Secret,
    },
};

/// More are no help to anybody, and each is probed.
const MAX_BEARERS: usize = 16;
/// Of a name, as the kernel has it.
const INTERFACE_MAX: usize = 15;
/// Name servers that are asked one after the other.
const DNS_MAX: usize = 4;
const SENDERS_MAX: usize = 16;

impl Checker<'_> {
    /// In the order of their names.
    pub(super) fn bearers(&mut self, bearers: &BTreeMap<String, schema::Bearer>) -> Vec<Bearer> {
        let table = key(&["bearer"]);
        if bearers.len() > MAX_BEARERS {
            let what = format!("{} bearers", bearers.len());
            self.error(&table, what, format!("at most {MAX_BEARERS}"));
        }
        let mut checked: Vec<Bearer> = Vec::new();
        for (name, bearer) in bearers.iter().take(MAX_BEARERS) {
            let at = below(&table, name);
            self.name(&at);
            let Some(bearer) = self.bearer(&at, name, bearer) else {
                continue;
            };
            let twin = checked.iter().find(|other| same_interface(other, &bearer));
            if let Some(twin) = twin {
                let what = match &bearer.interface {
                    Some(interface) => format!("{interface} is that of [bearer.{}] too", twin.name),
                    None => format!("[bearer.{}] is the first of this kind too", twin.name),
                };
                self.error(
                    &below(&at, "interface"),
                    what,
                    "one bearer has one interface",
                );
            }
            checked.push(bearer);
        }
        checked
    }

    fn bearer(&mut self, at: &Key, name: &str, bearer: &schema::Bearer) -> Option<Bearer> {
        let kind = self.required(at, "kind", bearer.kind);
        let interface = bearer.interface.as_ref();
        let interface = interface.and_then(|interface| self.interface(at, interface));
        let manage = bearer.manage.unwrap_or_default();
        let cap = bearer.cap.as_ref().and_then(|cap| self.cap(at, cap));
        let dns = self.name_servers(at, bearer.dns.as_deref().unwrap_or_default());
        let apn = self.apn(at, bearer, manage);
        let pin = self.modem_secret(at, "pin", bearer.pin.as_ref(), manage);
        let sms_from = self.senders(at, bearer, manage);
        let kind = kind?;
        if manage == Manage::ModemManager && kind != BearerKind::Cellular {
            let what = "ModemManager connects modems only";
            self.error(&below(at, "manage"), what, "kind = \"cellular\"");
        }
        let bearer = Bearer {
            name: name.to_owned(),
            kind,
            interface,
            priority: bearer.priority.unwrap_or(PRIORITY),
            tier: bearer.tier,
            metered: bearer.metered,
            cap,
            manage,
            apn,
            pin,
            dns,
            sms_from,
            timing: self.timing(at, kind, bearer.probe.as_ref()),
        };
        self.cost(at, &bearer);
        Some(bearer)
    }

    /// A cap that watching the bearer uses up says nothing of what is sent.
    fn cost(&mut self, at: &Key, bearer: &Bearer) {
        const DAYS: u64 = 30;
        let cost = Cost::of(bearer, AddressFamily::V4).active;
        let Some(cap) = bearer.cap else {
            return;
        };
        for (name, cap, cost) in [("day", cap.day, cost / DAYS), ("month", cap.month, cost)] {
            if cap.is_some_and(|cap| cap < cost) {
                let megabytes = cost as f64 / 1_000_000.0;
                let what = format!("watching it takes {megabytes:.1} MB a {name}, more than that");
                let hint = "a longer `active_s` in [bearer.NAME.probe]";
                self.warning(&below(&below(at, "cap"), name), what, hint);
            }
        }
    }

    fn interface(&mut self, at: &Key, name: &str) -> Option<String> {
        // What the kernel takes. // net/core/dev.c, dev_valid_name
        let fits = !name.is_empty()
            && name.len() <= INTERFACE_MAX
            && name != "."
            && name != ".."
            && !name.contains(['/', ':'])
            && !name.contains(|c: char| c.is_whitespace() || c.is_control());
        if !fits {
            let what = format!("`{name}` is not the name of an interface");
            self.error(
                &below(at, "interface"),
                what,
                "for example \"wwan0\"; `ip link` lists them",
            );
        }
        fits.then(|| name.to_owned())
    }

    fn cap(&mut self, bearer: &Key, cap: &schema::Cap) -> Option<Cap> {
        let at = below(bearer, "cap");
        let mut bytes = |name, text: Option<&String>| {
            let text = text?;
            self.size(&below(&at, name), text)
        };
        let day = bytes("day", cap.day.as_ref());
        let month = bytes("month", cap.month.as_ref());
        if cap.day.is_none() && cap.month.is_none() {
            self.error(
                &at,
                "neither `day` nor `month`",
                "for example month = \"200MiB\"",
            );
        }
        (day.is_some() || month.is_some()).then(|| Cap {
            day,
            month,
            at_cap: cap.at_cap.unwrap_or_default(),
        })
    }

    fn apn(&mut self, at: &Key, bearer: &schema::Bearer, manage: Manage) -> Option<Apn> {
        let Some(name) = &bearer.apn else {
            for (name, is_given) in [
                ("apn_user", bearer.apn_user.is_some()),
                ("apn_password", bearer.apn_password.is_some()),
            ] {
                if is_given {
                    self.error(&below(at, name), "there is no `apn` to use it for", "");
                }
            }
            return None;
        };
        if manage == Manage::None {
            let hint = "manage = \"modemmanager\" or \"networkmanager\"";
            self.error(&below(at, "apn"), "nobody connects this bearer", hint);
        }
        if !Apn::is_name(name) {
            let what = format!("`{name}` is no access point name");
            self.error(&below(at, "apn"), what, "letters, digits, `-` and `.`");
        }
        let password = bearer.apn_password.as_ref();
        Some(Apn {
            name: name.clone(),
            user: bearer.apn_user.clone(),
            password: password.and_then(|text| self.secret(at, "apn_password", Some(text))),
        })
    }

    fn modem_secret(
        &mut self,
        at: &Key,
        name: &str,
        text: Option<&String>,
        manage: Manage,
    ) -> Option<Secret> {
        let text = text?;
        self.only_with_modem(&below(at, name), manage);
        self.secret(at, name, Some(text))
    }

    fn senders(&mut self, at: &Key, bearer: &schema::Bearer, manage: Manage) -> Vec<String> {
        let Some(senders) = &bearer.sms_from else {
            return Vec::new();
        };
        let at = below(at, "sms_from");
        self.only_with_modem(&at, manage);
        if senders.len() > SENDERS_MAX {
            let what = format!("{} senders", senders.len());
            self.error(&at, what, format!("at most {SENDERS_MAX}"));
        }
        for sender in senders {
            let digits = sender.strip_prefix('+').unwrap_or(sender);
            let is_number = (3..=20).contains(&digits.len())
                && digits.bytes().all(|byte| byte.is_ascii_digit());
            if !is_number {
                let what = format!("`{sender}` is no telephone number");
                self.error(&at, what, "for example \"+4915112345678\"");
            }
        }
        senders.clone()
    }

    fn only_with_modem(&mut self, at: &Key, manage: Manage) {
        if manage != Manage::ModemManager {
            let what = "only ModemManager can do that";
            self.error(at, what, "manage = \"modemmanager\"");
        }
    }

    fn name_servers(&mut self, at: &Key, servers: &[String]) -> Vec<IpAddr> {
        let at = below(at, "dns");
        if servers.len() > DNS_MAX {
            let what = format!("{} name servers", servers.len());
            self.error(&at, what, format!("at most {DNS_MAX}"));
        }
        let mut parsed = Vec::new();
        for server in servers {
            match server.parse() {
                Ok(address) => parsed.push(address),
                Err(_) => {
                    let what = format!("`{server}` is not an address");
                    self.error(&at, what, "for example \"9.9.9.9\"");
                }
            }
        }
        parsed
    }

    fn timing(
        &mut self,
        at: &Key,
        kind: BearerKind,
        probe: Option<&schema::BearerProbe>,
    ) -> Timing {
        let usual = kind.timing();
        let Some(probe) = probe else {
            return usual;
        };
        let at = below(at, "probe");
        let mut seconds = |name, given: Option<f64>, usual, least, most| {
            let Some(given) = given else {
                return usual;
            };
            Duration::from_secs_f64(self.within(&below(&at, name), given, least, most))
        };
        let active = seconds("active_s", probe.active_s, usual.active, 1.0, 86_400.0);
        let standby = seconds("standby_s", probe.standby_s, usual.standby, 1.0, 86_400.0);
        let timeout = seconds("timeout_s", probe.timeout_s, usual.timeout, 0.2, 120.0);
        let hold = seconds("hold_s", probe.hold_s, usual.hold, 0.0, 86_400.0);
        let mut count = |name, given: Option<u8>, usual| match given {
            Some(given) => self.within(&below(&at, name), given, 1, 20),
            None => usual,
        };
        Timing {
            active,
            standby,
            timeout,
            down: count("down", probe.down, usual.down),
            up: count("up", probe.up, usual.up),
            hold,
        }
    }
}

/// Whether two would fight over one interface.
fn same_interface(one: &Bearer, other: &Bearer) -> bool {
    match (&one.interface, &other.interface) {
        (None, None) => one.kind == other.kind,
        (Some(one), Some(other)) => one == other,
        (None, Some(_)) | (Some(_), None) => false,
    }
}
