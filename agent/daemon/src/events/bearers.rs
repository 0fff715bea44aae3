//! What happens to bearers, as lines of the log.

use super::entry::{Class, News};
use crate::{
    ask::BearerAsk,
    bearer::{BearerFacts, Reason, Status, Want, dbus::Told},
};

/// A person wants another bearer, or none.
pub fn of_bearer_ask(ask: &BearerAsk, user: &str) -> News {
    let about = match ask {
        BearerAsk::Use(name) => name,
        BearerAsk::Auto | BearerAsk::Offline(_) | BearerAsk::Online => "bearers",
    };
    let news = News::new(Class::Event, "asked").about(about).by(user);
    news.text(ask.to_string())
}

/// What became of a bearer; `None` where it is as `before`, or nobody has tried it yet.
pub fn of_bearer(before: Option<&BearerFacts>, after: &BearerFacts) -> Option<News> {
    let before = before.map(|before| (before.status, before.reason));
    let now = (after.status, after.reason);
    let was_lost = before.is_none_or(|(status, _)| status == Status::Disconnected);
    let is_untried = now == (Status::Disconnected, Some(Reason::Untried));
    if before == Some(now) || was_lost && is_untried {
        return None;
    }
    let what = match after.status {
        Status::Connected => "bearer_connected",
        Status::Disconnected => "bearer_disconnected",
    };
    let news = News::new(Class::System, what).about(&after.name);
    Some(match after.status {
        Status::Connected => news,
        Status::Disconnected => {
            let trouble = after.meta.trouble.clone().unwrap_or_default();
            let reason = after.reason.unwrap_or_default();
            news.text(words(reason)).detail(trouble)
        }
    })
}

/// Sessions go over another bearer, or over none (`to`), by their names.
pub fn of_switch(from: Option<&str>, to: Option<&str>, why: Want) -> News {
    let none = "none";
    let (from, to) = (from.unwrap_or(none), to.unwrap_or(none));
    News::new(Class::System, "bearer_switched")
        .about(to)
        .text(format!("from {from} to {to}: {}", purpose(why)))
}

/// A cap, or three quarters of it, is reached. `period` is `today` or `this month`.
pub fn of_bearer_cap(name: &str, period: &str, used: u64, cap: u64) -> News {
    let what = if used < cap {
        "bearer_cap_near"
    } else {
        "bearer_cap_reached"
    };
    News::new(Class::System, what)
        .about(name)
        .text(format!("{used} of {cap} bytes {period}"))
}

/// What somebody wanted is undone: no server was reached since.
pub fn of_bearer_taken_back(ask: &BearerAsk) -> News {
    News::new(Class::Security, "taken_back")
        .about("bearers")
        .text(format!("{ask}: no server was reached since"))
}

/// A short message of somebody who may wake this box.
pub fn of_wake(name: &str) -> News {
    let news = News::new(Class::System, "woken").about(name);
    news.text("a message wants the servers to hear from this box")
}

/// What was done with the modem of a bearer.
pub fn of_managed(name: &str, told: Told) -> News {
    let (class, what, text) = match told {
        Told::ApnKept => (Class::Security, "apn_kept", "the new access point works"),
        Told::ApnReverted => (
            Class::Security,
            "taken_back",
            "the new access point does not work: the former one is used again",
        ),
        Told::Disabled => (
            Class::Security,
            "bearer_disabled",
            "a server has switched it off",
        ),
        Told::EnabledAgain => (
            Class::Security,
            "taken_back",
            "no server can be reached without it: it is switched on again",
        ),
        Told::PinRefused => (
            Class::Security,
            "pin_refused",
            "the PIN does not fit the SIM and is not tried again",
        ),
        Told::RadioOff => (
            Class::Security,
            "radio_off",
            "a server has switched the radio off",
        ),
        Told::Reset => (Class::System, "modem_reset", "nothing else has helped"),
    };
    News::new(class, what).about(name).text(text)
}

/// A server prefers other bearers (13/0/0), and no server was heard since.
pub fn of_preference_taken_back() -> News {
    News::new(Class::Security, "taken_back")
        .about("bearers")
        .text("the bearers that a server prefers: no server was reached since")
}

const fn purpose(why: Want) -> &'static str {
    match why {
        Want::Cap => "a cap is reached",
        Want::Command => "asked for",
        Want::FailBack => "the preferred one has held",
        Want::FailOver => "the former does not carry any more",
        Want::First => "the first that works",
        Want::Offline => "offline",
        Want::Renew => "its address, device or mapping is new",
    }
}

const fn words(reason: Reason) -> &'static str {
    match reason {
        Reason::CapReached => "its cap is reached",
        Reason::Captive => "a portal answers in the place of the server",
        Reason::Disabled => "switched off",
        Reason::Dns => "the server's name is not found through it",
        Reason::Dtls => "no session was agreed upon",
        Reason::NoAddress => "it has no address of the server's kind",
        Reason::NoLink => "no interface, no cable or no radio",
        Reason::NoRoute => "no default route leads through it",
        Reason::NotRegistered => "the modem is not registered with a network",
        Reason::Refused => "the network or the host refuses",
        Reason::Timeout => "no answer",
        Reason::Untried => "not tried yet",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::fake;

    #[test]
    fn a_bearer_is_told_when_it_comes_goes_or_fails_for_another_reason() {
        let untried = fake::bearer(1, "cell");
        assert_eq!(of_bearer(None, &untried), None);
        let connected = BearerFacts {
            status: Status::Connected,
            reason: None,
            ..untried.clone()
        };
        let news = of_bearer(Some(&untried), &connected).unwrap();
        assert_eq!(
            (news.what, news.about.as_str()),
            ("bearer_connected", "cell")
        );
        assert_eq!(of_bearer(Some(&connected), &connected), None);
        let silent = BearerFacts {
            reason: Some(Reason::Timeout),
            ..untried.clone()
        };
        let news = of_bearer(Some(&connected), &silent).unwrap();
        assert_eq!(
            (news.what, news.text.as_str()),
            ("bearer_disconnected", "no answer")
        );
        let unplugged = BearerFacts {
            reason: Some(Reason::NoLink),
            ..untried
        };
        let news = of_bearer(Some(&silent), &unplugged).unwrap();
        assert_eq!(news.text, "no interface, no cable or no radio");
    }

    #[test]
    fn a_switch_says_from_where_to_where_and_why() {
        let switch = of_switch(Some("lan"), Some("cell"), Want::FailOver);
        assert_eq!(
            switch.text,
            "from lan to cell: the former does not carry any more"
        );
        let gone = of_switch(Some("lan"), None, Want::Offline);
        assert_eq!(gone.text, "from lan to none: offline");
    }

    #[test]
    fn a_cap_is_told_when_it_is_near_and_when_it_is_reached() {
        let near = of_bearer_cap("cell", "today", 75, 100);
        let reached = of_bearer_cap("cell", "today", 100, 100);
        assert_eq!(near.what, "bearer_cap_near");
        assert_eq!(
            (reached.what, reached.text.as_str()),
            ("bearer_cap_reached", "100 of 100 bytes today")
        );
    }

    #[test]
    fn who_asked_and_from_where_stands_in_the_line() {
        let ask = BearerAsk::Offline(Some(Duration::from_secs(7200)));
        let news = of_bearer_ask(&ask, "anna (local)");
        assert_eq!(
            (news.by.as_str(), news.text.as_str()),
            ("anna (local)", "offline for 7200 s")
        );
        let back = of_bearer_taken_back(&BearerAsk::Use("cell".to_owned()));
        assert_eq!(back.text, "use cell: no server was reached since");
    }
}
