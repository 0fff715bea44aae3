use bytes::BytesMut;
use lamplighter_model::{BootId, DataType, Decimal, Stamp};
use rumqttc::{ConnAck, ConnectReturnCode, Packet, Publish, QoS, Subscribe};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    task::JoinHandle,
    time::sleep,
};

use super::{connection::Wire, *};

const RELAY: ResourceAddress = ResourceAddress::gateway(3306, 9, 5850);
const STATE: &str = "stat/plug/POWER";
const WILL: &str = "tele/plug/LWT";

/// The device, and the broker that it speaks through.
struct Rig {
    device: MqttDevice,
    broker: Peer,
    /// Ends with why the connection has ended.
    connection: JoinHandle<String>,
}

/// The broker's end of the connection.
struct Peer {
    stream: DuplexStream,
    input: BytesMut,
}

fn config() -> MqttConfig {
    MqttConfig {
        points: vec![MqttPoint {
            address: RELAY,
            topic: STATE.to_owned(),
            form: Form {
                field: String::new(),
                data_type: DataType::Boolean,
                on: "ON".to_owned(),
                off: "OFF".to_owned(),
                scale: Decimal::from(1),
            },
            command: Some(MqttCommand {
                topic: "cmnd/plug/POWER".to_owned(),
                payload: "{value}".to_owned(),
                retain: false,
                within: Duration::from_secs(2),
                tolerance: 0.0,
            }),
        }],
        availability: Some(Availability {
            topic: WILL.to_owned(),
            field: String::new(),
            online: "Online".to_owned(),
            offline: "Offline".to_owned(),
        }),
        query: None,
        stale_after: None,
    }
}

async fn start() -> Rig {
    let begin = Instant::now();
    let clock = Clock::new(move || Stamp {
        boot: BootId(1),
        mono: begin.elapsed(),
    });
    let (mut broker, handle) = Broker::new(BrokerConfig {
        host: "broker".to_owned(),
        port: 1883,
        client_id: "cab-17".to_owned(),
        user: None,
        ca: None,
        keep_alive: Duration::from_secs(30),
    })
    .unwrap();
    let inbox = broker.subscribe(config().topics());
    let device = MqttDevice::new(config(), handle, inbox, clock);
    let (ours, stream) = tokio::io::duplex(4096);
    let connection = tokio::spawn(async move {
        let mut wire = Wire::new(ours);
        match broker.enter(&mut wire).await {
            Ok(()) => broker.serve(wire).await,
            Err(words) => words,
        }
    });
    let mut peer = Peer {
        stream,
        input: BytesMut::new(),
    };
    assert!(matches!(peer.heard().await, Packet::Connect(_)));
    let welcome = ConnAck::new(ConnectReturnCode::Success, false);
    peer.say(&Packet::ConnAck(welcome)).await;
    let Packet::Subscribe(Subscribe { filters, .. }) = peer.heard().await else {
        panic!("something is subscribed to")
    };
    let topics = filters.iter().map(|filter| filter.path.as_str());
    assert!(topics.eq([WILL, STATE]), "the last will comes first");
    let mut rig = Rig {
        device,
        broker: peer,
        connection,
    };
    rig.told().await;
    rig
}

impl Peer {
    async fn heard(&mut self) -> Packet {
        loop {
            if let Ok(packet) = Packet::read(&mut self.input, PACKET_MAX) {
                return packet;
            }
            let read = self.stream.read_buf(&mut self.input).await.unwrap();
            assert!(read > 0, "the connection is open");
        }
    }

    async fn say(&mut self, packet: &Packet) {
        let mut bytes = BytesMut::new();
        packet.write(&mut bytes, PACKET_MAX).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
    }

    async fn message(&mut self, topic: &str, payload: &str, is_retained: bool) {
        let mut message = Publish::new(topic, QoS::AtMostOnce, payload);
        message.retain = is_retained;
        self.say(&Packet::Publish(message)).await;
        // So far that it lies in the inbox.
        sleep(Duration::from_millis(1)).await;
    }

    /// Answers pings; ends with the command.
    async fn command(&mut self) -> String {
        loop {
            let heard = self.heard().await;
            if let Packet::Publish(command) = heard {
                return String::from_utf8(command.payload.to_vec()).unwrap();
            }
            assert_eq!(heard, Packet::PingReq);
            self.say(&Packet::PingResp).await;
        }
    }

    /// Answers pings for ever.
    async fn is_there(&mut self) {
        let command = self.command().await;
        panic!("a second command: {command}");
    }
}

impl Rig {
    /// What the device tells the supervisor until it has nothing more to say.
    async fn told(&mut self) -> Vec<Wake> {
        let mut told = Vec::new();
        let patience = Duration::from_millis(10);
        while let Ok(wake) = timeout_at(Instant::now() + patience, self.device.wait()).await {
            told.push(wake.unwrap());
        }
        told
    }
}

fn switch_on() -> [Assignment; 1] {
    [Assignment {
        address: RELAY,
        index: None,
        value: Value::Boolean(true),
    }]
}

fn qualities(told: &[Wake]) -> Vec<Quality> {
    let samples = told.iter().filter_map(|wake| match wake {
        Wake::News(samples) => Some(samples[0].quality),
        Wake::Alive | Wake::Declared(_) | Wake::Due(..) | Wake::Lost(_) => None,
    });
    samples.collect()
}

#[tokio::test(start_paused = true)]
async fn a_command_is_done_when_the_device_says_so_after_it() {
    let Rig {
        mut device,
        mut broker,
        connection,
    } = start().await;
    // One of before the command lies in the inbox.
    broker.message(STATE, "ON", false).await;
    let before = Instant::now();
    let answers = async {
        assert_eq!(broker.command().await, "ON");
        sleep(Duration::from_millis(500)).await;
        broker.message(STATE, "ON", false).await;
        broker.is_there().await;
    };
    let told = switch_on();
    tokio::select! {
        result = device.write(&told) => assert_eq!(result, Ok(())),
        () = answers => {}
    }
    assert!(before.elapsed() >= Duration::from_millis(500));
    assert_eq!(device.take_read_back()[0].quality, Quality::Good);
    assert!(!connection.is_finished());
}

#[tokio::test(start_paused = true)]
async fn what_the_broker_had_kept_confirms_no_command() {
    let Rig {
        mut device,
        mut broker,
        connection,
    } = start().await;
    let answers = async {
        broker.command().await;
        broker.message(STATE, "ON", true).await;
        broker.is_there().await;
    };
    let told = switch_on();
    tokio::select! {
        result = device.write(&told) => assert_eq!(result, Err(Fault::Timeout)),
        () = answers => {}
    }
    let patience = Instant::now() + Duration::from_millis(10);
    let ended = timeout_at(patience, connection).await;
    assert!(ended.is_err(), "the broker has it for sure: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_given_up_before_the_broker_has_it_ends_the_connection() {
    let mut rig = start().await;
    let before = Instant::now();
    assert_eq!(rig.device.write(&switch_on()).await, Err(Fault::Timeout));
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    let words = rig.connection.await.unwrap();
    assert_eq!(words, "a command did not reach the broker in time");
}

#[tokio::test(start_paused = true)]
async fn a_command_whose_writer_has_gone_ends_the_connection_too() {
    let mut rig = start().await;
    let patience = Instant::now() + Duration::from_secs(1);
    let written = timeout_at(patience, rig.device.write(&switch_on())).await;
    assert!(written.is_err());
    let words = rig.connection.await.unwrap();
    assert_eq!(words, "a command did not reach the broker in time");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_is_given_up() {
    let rig = start().await;
    let before = Instant::now();
    let words = rig.connection.await.unwrap();
    assert_eq!(words, "the broker does not answer");
    assert!(before.elapsed() <= Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn kept_states_are_judged_by_a_last_will_that_comes_after_them() {
    let mut rig = start().await;
    rig.broker.message(STATE, "ON", true).await;
    assert_eq!(qualities(&rig.told().await), [Quality::Stale]);
    rig.broker.message(WILL, "Online", true).await;
    let told = rig.told().await;
    assert_eq!(qualities(&told), [Quality::Unchecked]);
    rig.broker.message(STATE, "OFF", false).await;
    rig.told().await;
    for will in ["Offline", "Online"] {
        rig.broker.message(WILL, will, false).await;
        assert_eq!(
            qualities(&rig.told().await),
            [],
            "it says so itself when it is back"
        );
    }
}
