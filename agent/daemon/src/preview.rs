//! What a configuration makes, found by core and site themselves with nothing opened: the size of a
//! Register.

use std::{sync::Arc, time::Duration};

use lamplighter_lwm2m::{
    client::{Client, ServerConfig},
    tree::Tree,
};
use lamplighter_model::{
    BootId, Now, Ssid,
    device::{AdapterEvent, AdapterId, Declaration, Declared, DeviceEvent},
    object::Operations,
};
use lamplighter_site::{
    Site,
    boundary::{SiteInput, SiteOutput},
};

use crate::{
    bearer::objects,
    config::{Config, Hardware, Point},
    devices, start, system,
    update::object,
};

const NOW: Now = Now {
    boot: BootId(0),
    mono: Duration::ZERO,
    unix: None,
};

/// Bytes of the list of objects that a server is sent, the longest of all servers; without one, what
/// a server would be sent.
pub(crate) fn register_bytes(config: &Config) -> usize {
    let mut site = Site::new(config.site.clone(), None, NOW);
    let mut tree = Tree::new(Arc::clone(&config.definitions));
    for device in &config.devices {
        let points = device.points().into_iter().map(declaration).collect();
        declare(&mut site, device.id, points);
    }
    declare(
        &mut site,
        devices::system_id(config),
        system::declarations(config),
    );
    declare(
        &mut site,
        devices::bearers_id(config),
        objects::declarations(&config.bearers),
    );
    if config.update.is_some() {
        declare(
            &mut site,
            devices::update_id(config),
            object::declarations(),
        );
    }
    while let Some(output) = site.poll() {
        if let SiteOutput::Core(DeviceEvent::Declared(declared)) = output {
            tree.declare(&declared);
        }
    }
    let mut client = start::client_config(config, &Hardware::default(), 0);
    if client.servers.is_empty() {
        client.servers.push(any_server());
    }
    Client::new(client, Vec::new(), NOW).register_payload_size(&tree, NOW)
}

fn any_server() -> ServerConfig {
    let uri = "coap://localhost".parse().expect("a server's address");
    ServerConfig::new("any", Ssid(1), uri)
}

fn declare(site: &mut Site, adapter: AdapterId, added: Vec<Declaration>) {
    let declared = Declared {
        added,
        removed: Vec::new(),
    };
    site.handle(
        SiteInput::Adapter(adapter, AdapterEvent::Declared(declared)),
        NOW,
    );
}

fn declaration(point: &Point) -> Declaration {
    let operations = if point.writable {
        Operations::RW
    } else {
        Operations::R
    };
    Declaration {
        address: point.address,
        operations,
    }
}
