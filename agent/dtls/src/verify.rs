//! Whether the server's certificate convinces us. The engine has checked signatures and names; what
//! that means for this account, and the dates, are decided here.

use std::{fmt, net::IpAddr};

use crate::security::{Certificate, Usage};

/// What is known of the date. Seconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Clock {
    /// The later of the date of this build and the last date that was trusted: it cannot be
    /// earlier, however wrong the clock is.
    pub floor: i64,
    pub time: Time,
}

/// The clock itself.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Time {
    /// Nobody vouches for it; it may be wrong by any amount.
    Estimated(i64),
    /// NTP, a real-time clock, GNSS or the modem says so.
    Trusted(i64),
    #[default]
    Unknown,
}

/// Why the server's certificate does not convince.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Untrusted {
    /// No authority that we trust has signed it.
    Chain,
    /// The date is not known, and the account asks for a certain one.
    ClockUnknown,
    Expired,
    /// It is for another host.
    Name,
    NotYetValid,
    /// It is not the certificate of the account, or not under its authority (0/x/4).
    Other,
    /// It is not meant for servers.
    Purpose,
    /// It cannot be read, or its key is of a kind that we do not support.
    Unreadable,
    /// Its key or hash is too weak.
    Weak,
}

/// One certificate of the chain, as the engine has seen it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Seen {
    /// The addresses that it is for; `None`: it has no alternative names at all.
    pub(crate) addresses: Option<Vec<Vec<u8>>>,
    pub(crate) common_names: Vec<Vec<u8>>,
    /// 0: the server's own.
    pub(crate) depth: usize,
    pub(crate) der: Vec<u8>,
    pub(crate) flaws: Flaws,
    /// Seconds since 1970.
    pub(crate) valid_from: i64,
    pub(crate) valid_to: i64,
}

/// What the engine has found wrong.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Flaws {
    pub(crate) name: bool,
    pub(crate) other: bool,
    pub(crate) purpose: bool,
    pub(crate) untrusted: bool,
    pub(crate) weak: bool,
}

/// Hears of each certificate of one handshake, then decides.
#[derive(Clone, Debug)]
pub(crate) struct Judge {
    /// Of the URI, where it names no host: to be found in the certificate.
    address: Option<IpAddr>,
    clock: Clock,
    pub(crate) rules: Box<Certificate>,
    pub(crate) seen: Vec<Seen>,
    /// When all certificates of the chain are valid, or why not.
    pub(crate) verdict: Option<Result<Validity, Untrusted>>,
}

/// When the certificates that a session stands on are valid. Seconds since 1970.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Validity {
    pub(crate) begins: i64,
    pub(crate) ends: i64,
}

impl Default for Clock {
    fn default() -> Self {
        Self {
            floor: i64::MIN,
            time: Time::Unknown,
        }
    }
}

impl Clock {
    /// What ended before the floor is refused always; the rest needs a date. // design, 6 "Clock"
    pub(crate) fn check(self, validity: Validity, strict: bool) -> Result<(), Untrusted> {
        if validity.ends < self.floor {
            return Err(Untrusted::Expired);
        }
        let now = match self.time {
            Time::Trusted(now) => Some(now),
            Time::Estimated(now) if strict => Some(now),
            Time::Unknown if strict => return Err(Untrusted::ClockUnknown),
            Time::Estimated(_) | Time::Unknown => None,
        };
        match now {
            Some(now) if validity.ends < now => Err(Untrusted::Expired),
            Some(now) if validity.begins > now => Err(Untrusted::NotYetValid),
            Some(_) | None => Ok(()),
        }
    }
}

impl Judge {
    pub(crate) fn new(rules: Certificate, address: Option<IpAddr>, clock: Clock) -> Self {
        Self {
            address,
            clock,
            rules: Box::new(rules),
            seen: Vec::new(),
            verdict: None,
        }
    }

    /// Hears of one certificate.
    pub(crate) fn see(&mut self, mut seen: Seen) {
        if seen.depth == 0 && self.address.is_some_and(|address| !seen.is_for(address)) {
            seen.flaws.name = true;
        }
        self.seen.push(seen);
    }

    /// Forgets the chain; whether the name was wrong, which is not looked at again.
    pub(crate) fn begin_again(&mut self) -> bool {
        let seen = std::mem::take(&mut self.seen);
        seen.iter().any(|seen| seen.flaws.name)
    }

    pub(crate) fn keep_name(&mut self, wrong: bool) {
        for seen in &mut self.seen {
            seen.flaws.name |= wrong;
        }
    }

    pub(crate) fn decide(&mut self) -> Result<Validity, Untrusted> {
        let verdict = self.judge();
        self.verdict = Some(verdict);
        verdict
    }

    fn judge(&self) -> Result<Validity, Untrusted> {
        let leaf = self.seen.iter().find(|seen| seen.depth == 0);
        let leaf = leaf.ok_or(Untrusted::Unreadable)?;
        let rules = &self.rules;
        let named = !rules.server.is_empty();
        match rules.usage {
            Usage::DomainIssued if named => {
                self.must_be(rules.matches(&leaf.der))?;
                // Neither the issuers nor the name matter: it is the very certificate.
                leaf.flaws.without_issuer().without_name().check()?;
                self.check_dates(std::slice::from_ref(leaf))
            }
            Usage::ServiceCertificateConstraint => {
                self.must_be(rules.matches(&leaf.der))?;
                self.check_chain(false)?;
                self.check_dates(&self.seen)
            }
            Usage::CaConstraint => {
                self.check_chain(true)?;
                let mut issuers = self.seen.iter().filter(|seen| seen.depth > 0);
                self.must_be(issuers.any(|seen| rules.matches(&seen.der)))?;
                self.check_dates(&self.seen)
            }
            // Without a certificate in the account the trust store decides.
            Usage::DomainIssued | Usage::TrustAnchorAssertion => {
                self.check_chain(true)?;
                self.check_dates(&self.seen)
            }
        }
    }

    fn must_be(&self, is: bool) -> Result<(), Untrusted> {
        if is { Ok(()) } else { Err(Untrusted::Other) }
    }

    fn check_chain(&self, with_name: bool) -> Result<(), Untrusted> {
        for seen in &self.seen {
            let flaws = seen.flaws;
            let flaws = if with_name {
                flaws
            } else {
                flaws.without_name()
            };
            flaws.check()?;
        }
        Ok(())
    }

    /// All certificates of the chain must be valid.
    fn check_dates(&self, chain: &[Seen]) -> Result<Validity, Untrusted> {
        let begins = chain.iter().map(|seen| seen.valid_from).max();
        let ends = chain.iter().map(|seen| seen.valid_to).min();
        let (Some(begins), Some(ends)) = (begins, ends) else {
            return Err(Untrusted::Unreadable);
        };
        let validity = Validity { begins, ends };
        self.clock.check(validity, self.rules.strict_time)?;
        Ok(validity)
    }
}

impl Seen {
    /// An address among the alternative names, or as a common name where there are none.
    /// // RFC 6125, 6.4.4
    fn is_for(&self, address: IpAddr) -> bool {
        let text = address.to_string();
        let octets = match address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        match &self.addresses {
            Some(addresses) => addresses.contains(&octets),
            None => self.common_names.iter().any(|name| name == text.as_bytes()),
        }
    }
}

impl Flaws {
    const fn without_issuer(self) -> Self {
        Self {
            untrusted: false,
            ..self
        }
    }

    const fn without_name(self) -> Self {
        Self {
            name: false,
            ..self
        }
    }

    pub(crate) const fn check(self) -> Result<(), Untrusted> {
        if self.untrusted {
            Err(Untrusted::Chain)
        } else if self.name {
            Err(Untrusted::Name)
        } else if self.purpose {
            Err(Untrusted::Purpose)
        } else if self.weak {
            Err(Untrusted::Weak)
        } else if self.other {
            Err(Untrusted::Unreadable)
        } else {
            Ok(())
        }
    }
}

/// Seconds since 1970 of a date of the Gregorian calendar; months and days from 1.
pub(crate) fn unix_time(date: [i64; 3], time: [i64; 3]) -> i64 {
    let [year, month, day] = date;
    // Years that begin in March put the leap day at their end.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let [hour, minute, second] = time;
    days * 86_400 + hour * 3600 + minute * 60 + second
}

impl Untrusted {
    /// Every reason, for tables of words and advice.
    pub const ALL: [Self; 9] = [
        Self::Chain,
        Self::ClockUnknown,
        Self::Expired,
        Self::Name,
        Self::NotYetValid,
        Self::Other,
        Self::Purpose,
        Self::Unreadable,
        Self::Weak,
    ];
}

impl fmt::Display for Untrusted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Chain => "the server's certificate is not signed by anybody whom we trust",
            Self::ClockUnknown => {
                "the date is not known, and certificates are not accepted without (strict_time)"
            }
            Self::Expired => "the server's certificate has expired",
            Self::Name => "the server's certificate is for another name",
            Self::NotYetValid => "the server's certificate is not valid yet",
            Self::Other => "the server's certificate is not the one of the account",
            Self::Purpose => "the server's certificate is not meant for servers",
            Self::Unreadable => "the server's certificate cannot be read",
            Self::Weak => "the server's certificate has too weak a key or hash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::{Matching, Secret};

    const LEAF: &[u8] = b"leaf";
    const CA: &[u8] = b"authority";
    const VALID: Result<Validity, Untrusted> = Ok(Validity {
        begins: 1000,
        ends: 2000,
    });

    fn seen(depth: usize, der: &[u8]) -> Seen {
        Seen {
            addresses: None,
            common_names: Vec::new(),
            depth,
            der: der.to_vec(),
            flaws: Flaws::default(),
            valid_from: 1000,
            valid_to: 2000,
        }
    }

    fn judge(usage: Usage, server: &[u8], time: Time) -> Judge {
        let rules = Certificate {
            chain: Vec::new(),
            key: Secret::new(Vec::new()),
            matching: Matching::Exact,
            server: server.to_vec(),
            strict_time: false,
            trust_store: Vec::new(),
            usage,
        };
        let mut judge = Judge::new(rules, None, Clock { floor: 0, time });
        judge.see(seen(1, CA));
        judge.see(seen(0, LEAF));
        judge
    }

    fn flawed(mut judge: Judge, flaws: Flaws) -> Result<Validity, Untrusted> {
        judge.seen[1].flaws = flaws;
        judge.decide()
    }

    const UNTRUSTED: Flaws = Flaws {
        name: false,
        other: false,
        purpose: false,
        untrusted: true,
        weak: false,
    };
    const MISNAMED: Flaws = Flaws {
        name: true,
        untrusted: false,
        ..UNTRUSTED
    };

    #[test]
    fn each_usage_asks_for_what_the_standard_says() {
        let now = Time::Trusted(1500);
        let case = |usage, server: &[u8]| judge(usage, server, now);
        // 3: the very certificate, whoever signed it, for whatever name.
        assert_eq!(flawed(case(Usage::DomainIssued, LEAF), UNTRUSTED), VALID);
        assert_eq!(flawed(case(Usage::DomainIssued, LEAF), MISNAMED), VALID);
        let other = case(Usage::DomainIssued, b"x").decide();
        assert_eq!(other, Err(Untrusted::Other));
        // 2: a chain to the anchor, and the name.
        let anchor = || case(Usage::TrustAnchorAssertion, CA);
        assert_eq!(anchor().decide(), VALID);
        assert_eq!(flawed(anchor(), UNTRUSTED), Err(Untrusted::Chain));
        assert_eq!(flawed(anchor(), MISNAMED), Err(Untrusted::Name));
        // 1: the very certificate and a chain.
        let service = || case(Usage::ServiceCertificateConstraint, LEAF);
        assert_eq!(flawed(service(), MISNAMED), VALID);
        assert_eq!(flawed(service(), UNTRUSTED), Err(Untrusted::Chain));
        let other = case(Usage::ServiceCertificateConstraint, CA).decide();
        assert_eq!(other, Err(Untrusted::Other));
        // 0: a chain through this authority, and the name.
        let authority = || case(Usage::CaConstraint, CA);
        assert_eq!(authority().decide(), VALID);
        assert_eq!(flawed(authority(), MISNAMED), Err(Untrusted::Name));
        assert_eq!(flawed(authority(), UNTRUSTED), Err(Untrusted::Chain));
        let leaf = case(Usage::CaConstraint, LEAF).decide();
        assert_eq!(leaf, Err(Untrusted::Other));
    }

    // Whatever the usage leaves out, a certificate that is good for nothing stays refused.
    #[test]
    fn no_usage_passes_over_what_is_wrong_with_the_certificate_itself() {
        let flaw = |set: fn(&mut Flaws)| {
            let mut flaws = Flaws::default();
            set(&mut flaws);
            flaws
        };
        let cases = [
            (flaw(|flaws| flaws.purpose = true), Untrusted::Purpose),
            (flaw(|flaws| flaws.weak = true), Untrusted::Weak),
            (flaw(|flaws| flaws.other = true), Untrusted::Unreadable),
        ];
        for (flaws, why) in cases {
            for (usage, server) in [
                (Usage::CaConstraint, CA),
                (Usage::ServiceCertificateConstraint, LEAF),
                (Usage::TrustAnchorAssertion, CA),
                (Usage::DomainIssued, LEAF),
            ] {
                let judge = judge(usage, server, Time::Trusted(1500));
                assert_eq!(flawed(judge, flaws), Err(why), "{usage:?}");
            }
        }
    }

    #[test]
    fn a_wrong_name_is_remembered_for_the_chain_that_is_built_anew() {
        let mut judge = judge(Usage::TrustAnchorAssertion, CA, Time::Trusted(1500));
        assert!(!judge.begin_again());
        assert_eq!(judge.seen, []);
        judge.see(seen(0, LEAF));
        judge.seen[0].flaws.name = true;
        assert!(judge.begin_again());
        judge.see(seen(0, LEAF));
        judge.keep_name(false);
        assert_eq!(judge.clone().decide(), VALID);
        judge.keep_name(true);
        assert_eq!(judge.decide(), Err(Untrusted::Name));
    }

    #[test]
    fn the_name_that_is_an_address_is_that_of_the_server_itself() {
        let other = Some("192.0.2.9".parse().unwrap());
        let mut judge = judge(Usage::DomainIssued, b"", Time::Unknown);
        (judge.address, judge.seen) = (other, Vec::new());
        judge.see(seen(1, CA));
        assert_eq!(judge.seen[0].flaws, Flaws::default());
        judge.see(seen(0, LEAF));
        assert!(judge.seen[1].flaws.name);
    }

    #[test]
    fn nothing_named_means_that_the_trust_store_decides() {
        let unnamed = || judge(Usage::DomainIssued, b"", Time::Trusted(1500));
        assert_eq!(unnamed().decide(), VALID);
        assert_eq!(flawed(unnamed(), UNTRUSTED), Err(Untrusted::Chain));
        for usage in [Usage::CaConstraint, Usage::ServiceCertificateConstraint] {
            let verdict = judge(usage, b"", Time::Trusted(1500)).decide();
            assert_eq!(verdict, Err(Untrusted::Other));
        }
    }

    #[test]
    fn dates_are_enforced_as_far_as_the_clock_is_trusted() {
        let at = |time, floor, strict| {
            let mut judge = judge(Usage::DomainIssued, LEAF, time);
            judge.clock.floor = floor;
            judge.rules.strict_time = strict;
            judge.decide()
        };
        assert_eq!(at(Time::Trusted(1500), 0, false), VALID);
        assert_eq!(at(Time::Trusted(2001), 0, false), Err(Untrusted::Expired));
        // The first second and the last belong to it.
        for now in [1000, 2000] {
            assert_eq!(at(Time::Trusted(now), now, false), VALID);
        }
        assert_eq!(
            at(Time::Trusted(999), 0, false),
            Err(Untrusted::NotYetValid)
        );
        // What ended before the build or the last trusted time is refused whatever the clock says.
        assert_eq!(at(Time::Unknown, 2001, false), Err(Untrusted::Expired));
        assert_eq!(
            at(Time::Estimated(1500), 2001, false),
            Err(Untrusted::Expired)
        );
        assert_eq!(
            at(Time::Trusted(1500), 2001, false),
            Err(Untrusted::Expired)
        );
        // Without a date nobody can say that it is too early, or late.
        assert_eq!(at(Time::Unknown, 0, false), VALID);
        assert_eq!(at(Time::Estimated(1), 0, false), VALID);
        assert_eq!(at(Time::Estimated(9999), 0, false), VALID);
        // Strict: an estimate counts, and no date is a refusal.
        assert_eq!(at(Time::Estimated(1), 0, true), Err(Untrusted::NotYetValid));
        assert_eq!(at(Time::Estimated(9999), 0, true), Err(Untrusted::Expired));
        assert_eq!(at(Time::Unknown, 0, true), Err(Untrusted::ClockUnknown));
        assert_eq!(at(Time::Unknown, 2001, true), Err(Untrusted::Expired));
        assert_eq!(at(Time::Estimated(1500), 0, true), VALID);
    }

    #[test]
    fn an_issuer_that_has_ended_ends_the_chain() {
        let mut judge = judge(Usage::TrustAnchorAssertion, CA, Time::Trusted(1500));
        judge.seen[0].valid_to = 1400;
        assert_eq!(judge.decide(), Err(Untrusted::Expired));
    }

    #[test]
    fn an_address_is_looked_for_among_the_alternative_names_first() {
        let address: IpAddr = "192.0.2.1".parse().unwrap();
        let mut seen = seen(0, LEAF);
        seen.common_names = vec![b"192.0.2.1".to_vec()];
        assert!(seen.is_for(address));
        seen.addresses = Some(vec![vec![192, 0, 2, 2]]);
        assert!(!seen.is_for(address));
        seen.addresses = Some(vec![vec![192, 0, 2, 2], vec![192, 0, 2, 1]]);
        assert!(seen.is_for(address));
    }

    #[test]
    fn hashes_stand_for_certificates() {
        let mut judge = judge(Usage::DomainIssued, b"", Time::Unknown);
        judge.rules.matching = Matching::Sha256;
        judge.rules.server = sha2::Digest::finalize(sha2::Digest::chain_update(
            <sha2::Sha256 as sha2::Digest>::new(),
            LEAF,
        ))
        .to_vec();
        assert_eq!(judge.decide(), VALID);
        judge.rules.server[0] ^= 1;
        assert_eq!(judge.decide(), Err(Untrusted::Other));
    }

    #[test]
    fn every_reason_has_words_of_its_own() {
        let all = Untrusted::ALL;
        let words: std::collections::BTreeSet<_> = all.iter().map(ToString::to_string).collect();
        assert!(words.len() == all.len() && !words.contains(""));
    }

    // RFC 5280, 4.1.2.5: dates to the end of 9999.
    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let is_leap = |year| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let mut expected = unix_time([1899, 12, 31], [0, 0, 0]);
        assert_eq!(expected, -2_208_988_800 - 86_400);
        for year in 1900..2301 {
            let february = if is_leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, length) in (1..).zip(lengths) {
                for day in 1..=length {
                    expected += 86_400;
                    assert_eq!(unix_time([year, month, day], [0, 0, 0]), expected);
                }
            }
        }
        assert_eq!(unix_time([1970, 1, 2], [1, 2, 3]), 86_400 + 3723);
    }

    #[test]
    fn dates_become_seconds() {
        assert_eq!(unix_time([1970, 1, 1], [0, 0, 0]), 0);
        assert_eq!(unix_time([2000, 2, 29], [23, 59, 59]), 951_868_799);
        assert_eq!(unix_time([2038, 1, 19], [3, 14, 8]), 1 << 31);
        assert_eq!(unix_time([9999, 12, 31], [23, 59, 59]), 253_402_300_799);
    }
}
