//! Where to listen: what `-l` means, taken apart, and what has been bound.

use crate::base::services::Services;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Every address of this machine.
    Any {
        /// Its own port, or the one of `-p`.
        port: Option<u16>,
    },
    /// A name or an address, without brackets.
    Host {
        /// What to resolve.
        name: String,
        /// Its own port, or the one of `-p`.
        port: Option<u16>,
    },
    /// A UNIX socket.
    Unix(PathBuf),
}

/// One element of a `-l` list.
///
/// ```text
/// [notls:][proto[ascii|binary|negotiating]:][tag[NAME]:] host | host:port | * | *:port |
///     1.2.3.4:port | [v6] | [v6]:port | v6 | unix:/path
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenSpec {
    /// Where.
    pub endpoint: Endpoint,
    /// What is spoken there, if not what `-B` says.
    pub services: Option<Services>,
}

/// A listening socket's description, for logs, `stats conns` and the port file.
#[derive(Clone, Debug)]
pub(crate) struct ListenerInfo {
    /// `tcp:127.0.0.1:11211`, `tcp6:[::1]:11211`, `udp:127.0.0.1:11211` or `unix:/path`.
    pub(crate) name: String,
    /// The bound address; a UNIX socket has none.
    pub(crate) address: Option<SocketAddr>,
    /// What its clients may speak.
    pub(crate) services: Services,
}

impl ListenSpec {
    /// Reads one `-l` value: elements separated by `,` or `;`.
    ///
    /// # Errors
    /// A sentence about the first element that means nothing.
    pub fn parse_list(value: &str) -> Result<Vec<Self>, String> {
        let elements = value.split([',', ';']).map(str::trim);
        elements
            .filter(|element| !element.is_empty())
            .map(Self::parse)
            .collect()
    }

    fn parse(element: &str) -> Result<Self, String> {
        let (services, place) = strip_prefixes(element)?;
        let endpoint = match place.strip_prefix("unix:") {
            Some("") => return Err(format!("\"{element}\": a socket needs a path")),
            Some(path) => Endpoint::Unix(PathBuf::from(path)),
            None => parse_host(place).ok_or_else(|| format!("\"{element}\" is not an address"))?,
        };
        Ok(Self { endpoint, services })
    }
}

/// Takes `notls:`, `proto[..]:` and `tag[..]:` off the front, in any order.
fn strip_prefixes(element: &str) -> Result<(Option<Services>, &str), String> {
    let mut services = None;
    let mut rest = element;
    loop {
        if let Some(after) = rest.strip_prefix("notls:") {
            rest = after;
        } else if rest.starts_with("btls:") || rest.starts_with("mtls:") {
            return Err(format!("\"{element}\": TLS is not supported yet"));
        } else if let Some((name, after)) = bracketed(rest, "proto[") {
            services = Some(parse_services(name).ok_or_else(|| {
                format!("\"{element}\": the protocol is ascii, binary or negotiating")
            })?);
            rest = after;
        } else if let Some((_, after)) = bracketed(rest, "tag[").or_else(|| underscored(rest)) {
            rest = after; // A tag only names the listener for memcached's proxy.
        } else {
            return Ok((services, rest));
        }
    }
}

fn bracketed<'a>(text: &'a str, opening: &str) -> Option<(&'a str, &'a str)> {
    text.strip_prefix(opening)?.split_once("]:")
}

fn underscored(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("tag_")?.split_once("_:")
}

fn parse_services(name: &str) -> Option<Services> {
    match name {
        "ascii" => Some(Services::TEXT),
        "binary" => Some(Services::BINARY),
        "negotiating" => Some(Services::MEMCACHED),
        _ => None,
    }
}

fn parse_host(place: &str) -> Option<Endpoint> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']')?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':')?)
                },
            )
        }
        // Two colons without brackets can only be an IPv6 address, which then has no port.
        None if place.matches(':').count() > 1 => (place, None),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.map(str::parse).transpose().ok()?;
    match host {
        "" => None,
        "*" => Some(Endpoint::Any { port }),
        name => Some(Endpoint::Host {
            name: name.into(),
            port,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: Option<u16>) -> Endpoint {
        Endpoint::Host {
            name: name.into(),
            port,
        }
    }

    #[test]
    fn every_form_of_an_address_is_understood() {
        let table = [
            ("127.0.0.1", host("127.0.0.1", None)),
            ("127.0.0.1:11300", host("127.0.0.1", Some(11300))),
            ("cache.example", host("cache.example", None)),
            ("cache.example:1", host("cache.example", Some(1))),
            ("::1", host("::1", None)),
            ("[::1]", host("::1", None)),
            ("[fe80::1]:11211", host("fe80::1", Some(11211))),
            ("*", Endpoint::Any { port: None }),
            ("*:0", Endpoint::Any { port: Some(0) }),
            ("unix:/run/n.sock", Endpoint::Unix("/run/n.sock".into())),
            ("notls:tag[fast]:10.0.0.1:5", host("10.0.0.1", Some(5))),
            ("tag_fast_:10.0.0.1", host("10.0.0.1", None)),
        ];
        for (text, endpoint) in table {
            let spec = ListenSpec {
                endpoint,
                services: None,
            };
            assert_eq!(ListenSpec::parse_list(text), Ok(vec![spec]), "{text}");
        }
    }

    #[test]
    fn lists_split_at_commas_and_semicolons() {
        let specs = ListenSpec::parse_list("a,b:1; proto[binary]:c").unwrap();
        assert_eq!(specs.len(), 3);
        assert_eq!(specs[1].endpoint, host("b", Some(1)));
        assert_eq!(specs[2].services, Some(Services::BINARY));
    }

    #[test]
    fn nonsense_is_refused_with_the_element_named() {
        for text in [
            "a:b",
            "a:65536",
            "[::1",
            "[::1]x",
            ":11211",
            "unix:",
            "mtls:a",
            "proto[x]:a",
        ] {
            let message = ListenSpec::parse_list(text).unwrap_err();
            assert!(message.contains(text), "{message}");
        }
    }
}
