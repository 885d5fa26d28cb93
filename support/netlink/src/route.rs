//! Routes: what `ip route` shows and changes, in the main table.

use std::net::IpAddr;

use crate::addr::{family_and_bytes, ip_from_bytes};
use crate::message::{
    Message, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, Received, attributes, u32_at,
};
use crate::{Netlink, Result};

const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_GETROUTE: u16 = 26;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RT_SCOPE_NOWHERE: u8 = 255;
const RTN_UNICAST: u8 = 1;

/// Bytes of `struct rtmsg`.
const RTMSG_LEN: usize = 12;

/// Where packets for a network go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The network; `0.0.0.0` with a prefix of 0 is the default route.
    pub destination: IpAddr,
    /// Bits of the network.
    pub prefix_len: u8,
    /// The next machine on the way; none if the network is on the link itself.
    pub gateway: Option<IpAddr>,
    /// Number of the link; the gateway's link if none is given.
    pub link: Option<u32>,
}

impl Netlink {
    /// Adds a route, or replaces the one to the same network.
    ///
    /// # Errors
    /// [`crate::Error::Refused`]; `ENETUNREACH` if the gateway is on no link that is up.
    pub fn replace_route(&mut self, route: &Route) -> Result<()> {
        let scope = if route.gateway.is_some() {
            RT_SCOPE_UNIVERSE
        } else {
            RT_SCOPE_LINK
        };
        let message = |flags| {
            route_message(
                RTM_NEWROUTE,
                flags | NLM_F_CREATE | NLM_F_REPLACE,
                route,
                scope,
            )
        };
        self.request(message, || format!("add route {}", describe(route)))
    }

    /// Removes a route.
    ///
    /// # Errors
    /// [`crate::Error::Refused`]; see [`crate::Error::is_not_found`].
    pub fn delete_route(&mut self, route: &Route) -> Result<()> {
        let message = |flags| route_message(RTM_DELROUTE, flags, route, RT_SCOPE_NOWHERE);
        self.request(message, || format!("delete route {}", describe(route)))
    }

    /// All unicast routes of the main table.
    ///
    /// # Errors
    /// [`crate::Error::Refused`].
    pub fn routes(&mut self) -> Result<Vec<Route>> {
        let message = Message::new(RTM_GETROUTE, NLM_F_DUMP).fixed(&[0; RTMSG_LEN]);
        let mut routes = Vec::new();
        self.dump(
            message,
            || "list routes".into(),
            |m| routes.extend(parse(m)),
        )?;
        Ok(routes)
    }
}

fn describe(route: &Route) -> String {
    let mut text = format!("{}/{}", route.destination, route.prefix_len);
    if let Some(gateway) = route.gateway {
        text += &format!(" via {gateway}");
    }
    if let Some(link) = route.link {
        text += &format!(" on link {link}");
    }
    text
}

fn route_message(kind: u16, flags: u16, route: &Route, scope: u8) -> Message {
    let (family, destination) = family_and_bytes(route.destination);
    let mut fixed = [0; RTMSG_LEN];
    fixed[0] = family;
    fixed[1] = route.prefix_len;
    fixed[4] = RT_TABLE_MAIN;
    fixed[5] = RTPROT_STATIC;
    fixed[6] = scope;
    fixed[7] = RTN_UNICAST;
    let mut message = Message::new(kind, flags).fixed(&fixed);
    if route.prefix_len > 0 {
        message = message.attr(RTA_DST, &destination);
    }
    if let Some(gateway) = route.gateway {
        message = message.attr(RTA_GATEWAY, &family_and_bytes(gateway).1);
    }
    if let Some(link) = route.link {
        message = message.attr_u32(RTA_OIF, link);
    }
    message
}

fn parse(message: Received<'_>) -> Option<Route> {
    let fixed = message.payload.get(..RTMSG_LEN)?;
    if message.kind != RTM_NEWROUTE || fixed[4] != RT_TABLE_MAIN || fixed[7] != RTN_UNICAST {
        return None;
    }
    let unspecified = match fixed[0] {
        2 => IpAddr::from([0u8; 4]),
        10 => IpAddr::from([0u8; 16]),
        _ => return None,
    };
    let mut route = Route {
        destination: unspecified,
        prefix_len: fixed[1],
        gateway: None,
        link: None,
    };
    for (kind, value) in attributes(&message.payload[RTMSG_LEN..]) {
        match kind {
            RTA_DST => route.destination = ip_from_bytes(value)?,
            RTA_GATEWAY => route.gateway = ip_from_bytes(value),
            RTA_OIF => route.link = u32_at(value, 0),
            _ => {}
        }
    }
    Some(route)
}
