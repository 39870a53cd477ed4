//! What the gateway needs to know of the settings: plain values, checked and in their final units.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Settings of the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayConfig {
    /// Where the brokers are.
    pub service: ServiceUrl,
    /// Largest text message, bytes, fragments joined and inflated.
    pub text_max: usize,
    /// Largest HTTP request head, bytes.
    pub http_head_max: usize,
    /// A session without a frame in either direction for this long is closed.
    pub session_idle: Duration,
    /// How often clients are pinged, if at all.
    pub ping_interval: Option<Duration>,
    /// Unconfirmed bytes of one producer session above which it is not read from; more than `text_max`.
    pub session_pending_bytes_max: usize,
    /// Unconfirmed bytes of all sessions of the process; each core has its share.
    pub process_pending_bytes_max: usize,
    /// `/status.html` answers `OK` while this file exists.
    pub status_file: Option<PathBuf>,
    /// How the gateway proves to brokers who it is.
    pub broker_token: Option<BrokerCredentials>,
    /// Cluster the gateway belongs to.
    pub cluster: String,
}

/// Where the brokers are: host and port of each, at least one, in the order they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceUrl {
    /// `pulsar://`: topics are looked up by the binary protocol.
    Binary(Vec<(String, u16)>),
    /// `http://`: topics are looked up by the admin API.
    Http(Vec<(String, u16)>),
}

/// Why a service URL is not usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceUrlError {
    /// A scheme that needs TLS.
    #[error("{scheme}:// needs TLS, which this version does not speak; use the brokers' {plain}:// port")]
    Tls {
        /// As written.
        scheme: &'static str,
        /// Its twin without TLS.
        plain: &'static str,
    },
    /// No scheme, or one that is no broker's.
    #[error("a service URL begins with pulsar:// or http://")]
    Scheme,
    /// A comma too many, or nothing after the scheme.
    #[error("a host is missing; write it as pulsar://host1:6650,host2:6650")]
    NoHost,
    /// Something is wrong with one of the hosts.
    #[error("{host:?} is not host or host:port")]
    Host {
        /// As written.
        host: String,
    },
    /// Service URLs have no path.
    #[error("{path:?} after the hosts: a service URL has no path")]
    Path {
        /// As written.
        path: String,
    },
}

impl ServiceUrl {
    /// Reads `pulsar://h1:6650,h2:6650` or `http://h1:8080,h2`; ports default to 6650 and 80.
    pub fn parse(text: &str) -> Result<ServiceUrl, ServiceUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(ServiceUrlError::Scheme)?;
        let (binary, port) = match scheme.to_ascii_lowercase().as_str() {
            "pulsar" => (true, 6650),
            "http" => (false, 80),
            "pulsar+ssl" => return Err(ServiceUrlError::Tls { scheme: "pulsar+ssl", plain: "pulsar" }),
            "https" => return Err(ServiceUrlError::Tls { scheme: "https", plain: "http" }),
            _ => return Err(ServiceUrlError::Scheme),
        };
        let hosts = match rest.find(['/', '?', '#']) {
            Some(at) if rest[at..] != *"/" => {
                return Err(ServiceUrlError::Path { path: rest[at..].to_owned() });
            }
            Some(at) => &rest[..at],
            None => rest,
        };
        let hosts =
            hosts.split(',').map(|host| host_port(host.trim(), port)).collect::<Result<Vec<_>, _>>()?;
        Ok(if binary { ServiceUrl::Binary(hosts) } else { ServiceUrl::Http(hosts) })
    }

    /// Host and port of each broker.
    pub fn hosts(&self) -> &[(String, u16)] {
        match self {
            ServiceUrl::Binary(hosts) | ServiceUrl::Http(hosts) => hosts,
        }
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ServiceUrl::Binary(_) => "pulsar://",
            ServiceUrl::Http(_) => "http://",
        })?;
        for (index, (host, port)) in self.hosts().iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
            write!(out, "{comma}{open}{host}{close}:{port}")?;
        }
        Ok(())
    }
}

/// `host`, `host:port`, `[::1]` or `[::1]:port`; the brackets are not part of the result.
fn host_port(text: &str, port_default: u16) -> Result<(String, u16), ServiceUrlError> {
    if text.is_empty() {
        return Err(ServiceUrlError::NoHost);
    }
    let wrong = || ServiceUrlError::Host { host: text.to_owned() };
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']').ok_or_else(wrong)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| wrong())?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(wrong)?) };
            (address, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':');
    let port = match port {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().map_err(|_| wrong())?,
        Some(_) => return Err(wrong()),
        None => port_default,
    };
    if host.is_empty() || port == 0 || !host.bytes().all(is_name) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

/// A token for the brokers. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub enum BrokerCredentials {
    /// The token itself.
    Token(String),
    /// A file that holds it, to be read again for every connection: tokens expire and are replaced.
    File(PathBuf),
}

impl fmt::Debug for BrokerCredentials {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BrokerCredentials::Token(_) => out.write_str("Token(..)"),
            BrokerCredentials::File(path) => out.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Why the gateway's own credentials are not usable. Never quotes the parameters, which hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// Another plugin.
    #[error("only tokens are available in this version: token, or empty for no authentication")]
    Plugin,
    /// A plugin without parameters.
    #[error("the token plugin needs brokerClientAuthenticationParameters: token:... or file:///path")]
    NoParameters,
    /// `file:` without an absolute path.
    #[error("the token's file is written file:///absolute/path")]
    File,
    /// A token becomes part of a binary command and of an HTTP header.
    #[error("a token has no blanks and no control characters")]
    Token,
}

impl BrokerCredentials {
    /// Reads the original's pair of plugin and parameters (API 2.5, API 8). `None`: no authentication.
    pub fn parse(plugin: &str, parameters: &str) -> Result<Option<BrokerCredentials>, CredentialsError> {
        match plugin {
            "" | "org.apache.pulsar.client.impl.auth.AuthenticationDisabled" => return Ok(None),
            "token" | "org.apache.pulsar.client.impl.auth.AuthenticationToken" => (),
            _ => return Err(CredentialsError::Plugin),
        }
        if let Some(uri) = parameters.strip_prefix("file:") {
            let path = uri.strip_prefix("//").unwrap_or(uri);
            let absolute = path.starts_with('/') && path.len() > 1;
            return if absolute {
                Ok(Some(BrokerCredentials::File(path.into())))
            } else {
                Err(CredentialsError::File)
            };
        }
        let token = match parameters.strip_prefix("token:") {
            Some(token) => token.to_owned(),
            None => json_token(parameters).unwrap_or_else(|| parameters.to_owned()),
        };
        match token.bytes().all(|byte| byte.is_ascii_graphic()) {
            _ if token.is_empty() => Err(CredentialsError::NoParameters),
            true => Ok(Some(BrokerCredentials::Token(token))),
            false => Err(CredentialsError::Token),
        }
    }
}

/// The original also takes `{"token":"..."}`.
fn json_token(parameters: &str) -> Option<String> {
    let object: serde_json::Value = serde_json::from_str(parameters).ok()?;
    Some(object.get("token")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(list: &[(&str, u16)]) -> Vec<(String, u16)> {
        list.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect()
    }

    #[test]
    fn service_urls_name_their_brokers() {
        let cases: [(&str, ServiceUrl); 6] = [
            ("pulsar://h1:6650,h2:6651", ServiceUrl::Binary(hosts(&[("h1", 6650), ("h2", 6651)]))),
            ("pulsar://broker.example.org", ServiceUrl::Binary(hosts(&[("broker.example.org", 6650)]))),
            ("PULSAR://h/", ServiceUrl::Binary(hosts(&[("h", 6650)]))),
            ("http://h1:8080, h2", ServiceUrl::Http(hosts(&[("h1", 8080), ("h2", 80)]))),
            (
                "pulsar://[::1]:6650,127.0.0.1",
                ServiceUrl::Binary(hosts(&[("::1", 6650), ("127.0.0.1", 6650)])),
            ),
            ("pulsar://[fe80::1]", ServiceUrl::Binary(hosts(&[("fe80::1", 6650)]))),
        ];
        for (text, expected) in cases {
            let url = ServiceUrl::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(url, expected, "{text}");
            assert_eq!(ServiceUrl::parse(&url.to_string()), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_no_service_url_is_refused_with_the_reason() {
        let host = |host: &str| ServiceUrlError::Host { host: host.to_owned() };
        let cases = [
            ("pulsar+ssl://h:6651", ServiceUrlError::Tls { scheme: "pulsar+ssl", plain: "pulsar" }),
            ("https://h:8443", ServiceUrlError::Tls { scheme: "https", plain: "http" }),
            ("localhost:6650", ServiceUrlError::Scheme),
            ("ws://h", ServiceUrlError::Scheme),
            ("pulsar://", ServiceUrlError::NoHost),
            ("pulsar://h1,,h2", ServiceUrlError::NoHost),
            ("pulsar://h/admin", ServiceUrlError::Path { path: "/admin".into() }),
            ("pulsar://h:0", host("h:0")),
            ("pulsar://h:65536", host("h:65536")),
            ("pulsar://h:+1", host("h:+1")),
            ("pulsar://h:", host("h:")),
            ("pulsar://:6650", host(":6650")),
            ("pulsar://a b", host("a b")),
            ("pulsar://::1", host("::1")),
            ("pulsar://[h]:1", host("[h]:1")),
            ("pulsar://[::1]6650", host("[::1]6650")),
        ];
        for (text, expected) in cases {
            assert_eq!(ServiceUrl::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn credentials_are_read_as_the_original_reads_them() {
        const PLUGIN: &str = "org.apache.pulsar.client.impl.auth.AuthenticationToken";
        let token = |text: &str| Ok(Some(BrokerCredentials::Token(text.into())));
        let cases = [
            ("", "token:a.b.c", Ok(None)),
            ("org.apache.pulsar.client.impl.auth.AuthenticationDisabled", "", Ok(None)),
            ("token", "token:a.b.c", token("a.b.c")),
            (PLUGIN, "a.b.c", token("a.b.c")),
            (PLUGIN, r#"{"token":"a.b.c"}"#, token("a.b.c")),
            (PLUGIN, "file:///etc/token", Ok(Some(BrokerCredentials::File("/etc/token".into())))),
            (PLUGIN, "file:/etc/token", Ok(Some(BrokerCredentials::File("/etc/token".into())))),
            (PLUGIN, "file://etc/token", Err(CredentialsError::File)),
            (PLUGIN, "", Err(CredentialsError::NoParameters)),
            (PLUGIN, "token:", Err(CredentialsError::NoParameters)),
            (PLUGIN, "token:a b", Err(CredentialsError::Token)),
            (
                "org.apache.pulsar.client.impl.auth.AuthenticationTls",
                "tlsCertFile:x",
                Err(CredentialsError::Plugin),
            ),
        ];
        for (plugin, parameters, expected) in cases {
            assert_eq!(BrokerCredentials::parse(plugin, parameters), expected, "{plugin} {parameters}");
        }
        assert!(!format!("{:?}", BrokerCredentials::Token("secret".into())).contains("secret"));
    }
}
