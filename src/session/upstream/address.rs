//! Where a broker is: host and port, as lookups name it.

use std::fmt;

/// Default port of `pulsar://`. Source: protocol 3.1.
const PORT_DEFAULT: u16 = 6650;

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// Not the URL of a broker we can talk to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("broker URL `{url}`: {reason}")]
pub struct AddressError {
    /// The text.
    pub url: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl HostPort {
    /// Reads `pulsar://host:port`; the port may be missing, an IPv6 address stands in brackets.
    pub fn from_url(url: &str) -> Result<HostPort, AddressError> {
        let fail = |reason| AddressError { url: url.to_owned(), reason };
        let rest = url.strip_prefix("pulsar://").ok_or_else(|| fail("only pulsar:// is supported"))?;
        let rest = rest.trim_end_matches('/');
        let (host, port) = match rest.strip_prefix('[') {
            Some(six) => {
                let (host, tail) = six.split_once(']').ok_or_else(|| fail("unclosed bracket"))?;
                (host, tail.strip_prefix(':'))
            }
            None => match rest.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        let port = match port {
            Some(text) => text.parse().map_err(|_| fail("the port is not a number up to 65535"))?,
            None => PORT_DEFAULT,
        };
        if host.is_empty() || host.contains('/') {
            return Err(fail("no host"));
        }
        Ok(HostPort { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_brokers() {
        let read = |url| HostPort::from_url(url).map(|at| at.to_string());
        assert_eq!(read("pulsar://b1:6651").unwrap(), "b1:6651");
        assert_eq!(read("pulsar://b1/").unwrap(), "b1:6650");
        assert_eq!(read("pulsar://[::1]:7").unwrap(), "[::1]:7");
        for bad in ["b1:6650", "pulsar+ssl://b1", "pulsar://", "pulsar://:1", "pulsar://b:x", "pulsar://[::1"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
