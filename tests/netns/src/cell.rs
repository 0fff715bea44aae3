//! The cell that a modem is in: access points of operators, each with a network of its own, behind the
//! interface of an uplink. Who connects it is told what address it has, and sets it up himself.

use std::{collections::BTreeMap, net::Ipv4Addr};

use lamplighter_interop::manager::{Air, Lease, Refusal, Wanted};

use crate::{
    namespace::Namespace,
    site::{Site, Uplink},
};

/// What an operator makes of an access point.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub name: &'static str,
    /// Name and secret, where it wants some.
    pub login: Option<(&'static str, &'static str)>,
    /// First three numbers of its private network.
    pub network: &'static str,
    /// Last number of the public address that servers see.
    pub public: u8,
    /// Whether anything goes further than the router.
    pub carries: bool,
}

/// The cell of one uplink.
#[derive(Debug)]
pub struct Cell {
    router: Namespace,
    public: String,
    access: BTreeMap<&'static str, Access>,
}

impl Site {
    /// The uplink is a modem from now on, which nobody has connected: no carrier, no address.
    pub fn cell(&self, uplink: Uplink, access: &[Access]) -> Cell {
        let router = self.router(uplink).clone();
        let interface = uplink.interface();
        self.gateway.ip(&format!("addr flush dev {interface}\n"));
        router.ip("link set lan down\naddr flush dev lan\n");
        Cell {
            router,
            public: self.public_network(uplink),
            access: access.iter().map(|access| (access.name, *access)).collect(),
        }
    }

    /// The address that servers see of who is connected to this access point.
    pub fn public_of(&self, uplink: Uplink, access: &Access) -> String {
        format!("{}.{}", self.public_network(uplink), access.public)
    }
}

impl Access {
    /// That of whoever is connected.
    pub fn address(&self) -> Ipv4Addr {
        format!("{}.2", self.network).parse().unwrap()
    }

    fn gateway(&self) -> Ipv4Addr {
        format!("{}.1", self.network).parse().unwrap()
    }

    /// Rules of the router: who is hidden behind which address, and what is lost.
    fn rules(&self, public: &str) -> String {
        let fault = match self.carries {
            true => "",
            false => "add rule inet rig fault drop\n",
        };
        format!(
            "flush chain inet rig post\nflush chain inet rig fault\n\
             add rule inet rig post oifname wan meta nfproto ipv4 snat ip to {public}\n{fault}"
        )
    }
}

impl Air for Cell {
    fn connect(&mut self, wanted: &Wanted) -> Result<Lease, Refusal> {
        let access = self.access.get(wanted.apn.as_str());
        let access = access.ok_or(Refusal::UnknownApn)?;
        let login = wanted.user.as_deref().zip(wanted.password.as_deref());
        if access.login.is_some() && access.login != login {
            return Err(Refusal::WrongPassword);
        }
        let public = format!("{}.{}", self.public, access.public);
        self.router.ip(&format!(
            "addr replace {public}/24 dev wan\n\
             addr replace {gateway}/30 dev lan\n\
             link set lan up\n",
            gateway = access.gateway(),
        ));
        self.router.nft(&access.rules(&public));
        self.router.attempt("conntrack", &["-F"]);
        Ok(Lease {
            address: access.address(),
            prefix: 30,
            gateway: access.gateway(),
            name_server: access.gateway(),
        })
    }

    fn disconnect(&mut self) {
        self.router.ip("link set lan down\naddr flush dev lan\n");
    }
}
