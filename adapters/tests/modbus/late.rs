//! Answers that come after their request was given up.

use std::sync::Mutex;

use lamplighter_adapters::modbus::{BusError, BusStats};

use super::*;

/// Counts of reads that ended right, with another request's answer, and without one.
#[derive(Debug, Default)]
struct Tally {
    right: u32,
    wrong: u32,
    failed: u32,
    stats: BusStats,
}

/// Reads one register after the other from a slave that answers 5 % of them 1–3 × the timeout after
/// the request. Each answer carries its register and the number of the request it answers.
async fn reads_with_late_answers(reads: u32, settings: BusSettings) -> Tally {
    let units = counting_units(&[17]);
    let (seen_by_slave, registers_of_slave) = (Arc::new(AtomicU32::new(0)), units.clone());
    let dice = Arc::new(Mutex::new(Dice(42)));
    let script = move |seen: &Seen| {
        let number = seen_by_slave.fetch_add(1, Ordering::Relaxed);
        registers_of_slave.with(17, |bank| {
            bank.holding.insert(seen.at, seen.at);
            bank.holding.insert(seen.at + 1, number as u16);
        });
        let mut dice = dice.lock().unwrap();
        if dice.below(100) < 5 {
            Behaviour::Late(TIMEOUT + TIMEOUT * u32::try_from(dice.below(2001)).unwrap() / 1000)
        } else {
            Behaviour::Answer
        }
    };
    let (bus, _) = start(settings, &units, script);
    let (mut tally, mut number) = (Tally::default(), 0);
    while number < reads {
        let at = (number % 40) as u16;
        match bus.ask(read(17, at, 2)).await {
            Ok(answered) if answered.reply == registers(&[at, number as u16]) => tally.right += 1,
            Ok(_) => tally.wrong += 1,
            Err(BusError::Down) => {
                // The connection was given up and is made again: nothing was sent.
                tokio::time::sleep(TIMEOUT).await;
                continue;
            }
            Err(_) => tally.failed += 1,
        }
        number += 1;
    }
    tally.stats = bus.stats();
    tally
}

#[tokio::test(start_paused = true)]
async fn no_late_answer_passes_for_another_in_100_000_reads() {
    let tally = reads_with_late_answers(100_000, rtu_settings()).await;
    assert_eq!(tally.wrong, 0, "{tally:?}");
    // All but a few late ones miss their deadline, and all of those are recognised when they come.
    assert!((4000..5500).contains(&tally.failed), "{tally:?}");
    assert!(
        tally.stats.late * 100 >= u64::from(tally.failed) * 99,
        "{tally:?}"
    );

    // The same without quarantine goes wrong, so this test can fail.
    let mut settings = rtu_settings();
    settings.quarantine_percent = 0;
    let tally = reads_with_late_answers(10_000, settings).await;
    assert!(tally.wrong > 0, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn no_late_answer_passes_for_another_over_tcp_and_the_connection_stays() {
    let tally = reads_with_late_answers(20_000, tcp_settings()).await;
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert!(tally.right > 18_000, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn no_late_answer_passes_for_another_over_rtu_in_tcp() {
    // Its frames carry no number: a connection with an answer outstanding is not used further.
    let settings = BusSettings::new("test", Framing::RtuOverTcp);
    let tally = reads_with_late_answers(20_000, settings).await;
    assert_eq!(tally.wrong, 0, "{tally:?}");
    assert!(tally.right > 18_000, "{tally:?}");
    assert!(tally.stats.timeouts > 500, "{tally:?}");
}

#[tokio::test(start_paused = true)]
async fn a_device_that_is_even_later_teaches_the_line_to_wait() {
    let units = counting_units(&[1]);
    let requests = Arc::new(AtomicU32::new(0));
    let script = {
        let requests = Arc::clone(&requests);
        move |_: &Seen| match requests.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Behaviour::Late(TIMEOUT * 5),
            _ => Behaviour::Answer,
        }
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Timeout));
    tokio::time::sleep(TIMEOUT * 6).await;
    assert_eq!(bus.stats().late, 0);
    // The first late answer came when the line was idle; the second is waited for, though it comes
    // after the usual time.
    assert_eq!(bus.ask(read(1, 2, 1)).await, Err(BusError::Timeout));
    assert_eq!(bus.ask(read(1, 3, 1)).await.unwrap().reply, registers(&[3]));
    assert_eq!(bus.stats().late, 2);
}

#[tokio::test(start_paused = true)]
async fn the_line_goes_on_as_soon_as_the_late_answer_is_there() {
    let units = counting_units(&[1]);
    let requests = Arc::new(AtomicU32::new(0));
    let script = move |_: &Seen| match requests.fetch_add(1, Ordering::Relaxed) {
        0 => Behaviour::Late(TIMEOUT * 3 / 2),
        _ => Behaviour::Answer,
    };
    let (bus, _) = start(rtu_settings(), &units, script);
    let before = Instant::now();
    assert_eq!(bus.ask(read(1, 1, 1)).await, Err(BusError::Timeout));
    assert_eq!(bus.ask(read(1, 2, 1)).await.unwrap().reply, registers(&[2]));
    let took = before.elapsed();
    assert!(took > TIMEOUT * 3 / 2 && took < TIMEOUT * 8 / 5, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_asker_has_gone_leaves_the_line_in_step() {
    let units = counting_units(&[1]);
    let (bus, _) = start(rtu_settings(), &units, |seen: &Seen| match seen.at {
        7 => Behaviour::Late(TIMEOUT / 2),
        _ => Behaviour::Answer,
    });
    // Dropped while the answer is on its way, in the middle of the exchange.
    assert!(
        tokio::time::timeout(TIMEOUT / 4, bus.ask(read(1, 7, 1)))
            .await
            .is_err()
    );
    for at in 10..20 {
        assert_eq!(
            bus.ask(read(1, at, 1)).await.unwrap().reply,
            registers(&[at])
        );
    }
}

/// Whoever asked has been told that it failed: nothing may happen any more (design, 6).
#[tokio::test(start_paused = true)]
async fn a_command_whose_time_has_passed_in_quarantine_is_never_sent() {
    for (settings, framing) in [(rtu_settings(), "serial"), (tcp_settings(), "TCP")] {
        let units = counting_units(&[17]);
        let seen = Arc::new(AtomicU32::new(0));
        let script = {
            let seen = Arc::clone(&seen);
            move |_: &Seen| {
                seen.fetch_add(1, Ordering::Relaxed);
                Behaviour::Mute
            }
        };
        let (bus, _) = start(settings, &units, script);
        assert_eq!(bus.ask(read(17, 1, 1)).await, Err(BusError::Timeout));
        let command = |expires| Ask {
            class: Class::Command,
            expires: Some(expires),
            request: Request::WriteRegister { at: 1, value: 7 },
            ..read(17, 1, 1)
        };
        // It is let in, and the line is quiet too late for it.
        let soon = Instant::now() + TIMEOUT;
        let result = bus.ask(command(soon)).await;
        assert_eq!(result, Err(BusError::Expired), "{framing}");
        // The same of one whose caller has gone.
        let late = Instant::now() + TIMEOUT * 100;
        assert_eq!(bus.ask(read(17, 1, 1)).await, Err(BusError::Timeout));
        let gone = tokio::time::timeout(TIMEOUT, bus.ask(command(late))).await;
        assert!(gone.is_err(), "{framing}");
        tokio::time::sleep(TIMEOUT * 20).await;
        assert_eq!(seen.load(Ordering::Relaxed), 2, "{framing}");
    }
}
