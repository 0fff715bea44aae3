//! A serial port that goes and comes back, on a real pseudo-terminal.

use lamplighter_adapters::bus::SerialOpener;
use lamplighter_sim::{modbus::Obedient, pty::Pty};
use tokio::{task::JoinHandle, time::timeout};

use super::*;

/// Long enough for a loaded machine; what must be fast is measured.
const PATIENCE: Duration = Duration::from_secs(20);

fn plug_in(link: &std::path::Path) -> JoinHandle<()> {
    let pty = Pty::open_linked(link).unwrap();
    tokio::spawn(async move {
        let _unplugged = sim::serve(pty, sim::Framing::Rtu, counting_units(&[1]), Obedient).await;
    })
}

#[tokio::test]
async fn a_serial_adapter_is_back_two_seconds_after_it_is_plugged_in_again() {
    let link = std::env::temp_dir().join(format!("lamplighter-replug-{}", std::process::id()));
    let plugged = plug_in(&link);
    let line = "19200-8N1".parse().unwrap();
    let opener = SerialOpener::new(&link, line);
    let (bus, owner) = Bus::new(opener, BusSettings::new("test", Framing::Rtu(line)), 1);
    tokio::spawn(owner.run());
    let mut state = bus.state();
    assert_eq!(
        bus.ask(read(1, 7, 2)).await.unwrap().reply,
        registers(&[7, 8])
    );

    plugged.abort();
    // Seen while nobody asks anything.
    timeout(PATIENCE, state.wait_for(|state| !state.open))
        .await
        .unwrap()
        .unwrap();
    let plugged = plug_in(&link);
    let before = Instant::now();
    timeout(PATIENCE, state.wait_for(|state| state.open))
        .await
        .unwrap()
        .unwrap();
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    assert_eq!(
        bus.ask(read(1, 9, 2)).await.unwrap().reply,
        registers(&[9, 10])
    );
    assert_eq!(state.borrow().opened, 2);
    plugged.abort();
}
