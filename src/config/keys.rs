//! Every setting in one table: the keys of the original's `websocket.conf` (API 8) and pulsegate's own, what
//! each does here, its default, range and unit. `standalone` has those of `broker_keys` besides.

use crate::config::broker_keys::{BROKER_KEYS, IDLE_PREFIXES};

/// One setting.
#[derive(Debug)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// What becomes of it.
    pub kind: Kind,
    /// Value when nobody sets it, as text; of keys without effect, the original's default.
    pub default: &'static str,
    /// `ms`, `s`, `bytes`, `MiB`, or empty.
    pub unit: &'static str,
    /// One sentence: what it does; why it has no effect; why it cannot be switched on.
    pub help: &'static str,
}

/// What becomes of a key.
#[derive(Debug, PartialEq, Eq)]
pub enum Kind {
    /// Does what it says.
    Honoured(Type),
    /// Another name of an honoured key, whose value is this one's times `scale`.
    Alias {
        /// The honoured key.
        of: &'static str,
        /// Factor between the units.
        scale: i64,
    },
    /// Accepted, does nothing; a value other than the default is worth a note.
    NoEffect,
    /// Something the operator asks for and does not get would be dangerous: only these values are accepted.
    Refused {
        /// Compared without regard to case; empty is always harmless.
        harmless: &'static [&'static str],
    },
}

/// Which values an honoured key takes.
#[derive(Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    Text,
    /// Text of which nothing is shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// A whole number within the bounds, both included.
    Number {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A TCP port; empty: none.
    Port,
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Everything behind this prefix configures the original's Java client and has no effect.
pub const CLIENT_PREFIX: &str = "brokerClient_";

/// Which program settings are for: each has its keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Program {
    /// `serve`: the gateway in front of other brokers.
    #[default]
    Gateway,
    /// `standalone`: the gateway with a broker of its own.
    Standalone,
}

impl Program {
    /// All of its keys. What `standalone` has of its own comes first, and before a key of the gateway of the same name.
    pub fn keys(self) -> impl Iterator<Item = &'static Key> {
        let own = match self {
            Program::Gateway => &[][..],
            Program::Standalone => BROKER_KEYS,
        };
        own.iter().chain(KEYS.iter().filter(move |key| own.iter().all(|other| other.name != key.name)))
    }

    /// The key of that name.
    pub fn find(self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }

    /// Keys that begin so have no effect, whatever they are. The reason.
    pub fn is_idle(self, name: &str) -> Option<&'static str> {
        if name.starts_with(CLIENT_PREFIX) {
            return Some("it is for the Java client");
        }
        let other =
            self == Program::Standalone && IDLE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        other.then_some("it is for a part of the original that does not exist here")
    }

    /// The known name that takes the fewest edits, if so few that it may have been meant.
    pub fn nearest(self, name: &str) -> Option<&'static str> {
        let wanted = name.to_ascii_lowercase();
        let distance = |key: &Key| edit_distance(&wanted, &key.name.to_ascii_lowercase());
        let (edits, nearest) = self.keys().map(|key| (distance(key), key.name)).min()?;
        (edits <= 2 + name.len() / 5).then_some(nearest)
    }
}

/// Levenshtein's distance in bytes. Names longer than any key cannot be near one and are not compared.
fn edit_distance(left: &str, right: &str) -> usize {
    const NAME_BYTES_MAX: usize = 96;
    if left.len() > NAME_BYTES_MAX {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, from) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (column, to) in right.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

const fn honoured(
    name: &'static str,
    takes: Type,
    default: &'static str,
    unit: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind: Kind::Honoured(takes), default, unit, help }
}

const fn alias(
    name: &'static str,
    of: &'static str,
    scale: i64,
    unit: &'static str,
    help: &'static str,
) -> Key {
    Key { name, kind: Kind::Alias { of, scale }, default: "", unit, help }
}

const fn idle(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, kind: Kind::NoEffect, default, unit: "", help }
}

const fn refused(name: &'static str, harmless: &'static [&'static str], help: &'static str) -> Key {
    Key { name, kind: Kind::Refused { harmless }, default: "", unit: "", help }
}

const fn number(min: i64, max: i64) -> Type {
    Type::Number { min, max }
}

const OFF: &[&str] = &["false"];
const INT_MIN: i64 = i32::MIN as i64;
const INT_MAX: i64 = i32::MAX as i64;

const STORE: &str = "pulsegate asks brokers and never the metadata store; name them in brokerServiceUrl";
const THREADS: &str = "pulsegate has one thread per core; see cores";
const QUEUES: &str = "requests are answered by the core that read them, without queues between threads";
const NO_AUTH: &str = "only read when authenticationEnabled is on, which this version refuses";
const NO_TLS: &str = "only read for TLS, which this version does not speak";
const TLS_OFF: &str =
    "TLS is not available in this version; put a TLS terminator in front, use brokers' plain port";
const JVM: &str = "names a Java class or provider";

/// All settings: pulsegate's own last, each group in the order of the original's file.
pub const KEYS: &[Key] = &[
    // ---- Cluster
    honoured(
        "clusterName",
        Type::Text,
        "standalone",
        "",
        "cluster the gateway belongs to, as statistics name it",
    ),
    honoured(
        "brokerServiceUrl",
        Type::Text,
        "",
        "",
        "brokers: pulsar://host:port,host:port; comes before serviceUrl",
    ),
    honoured("serviceUrl", Type::Text, "", "", "brokers' HTTP lookup: http://host:port,host:port"),
    idle("brokerServiceUrlTls", "", NO_TLS),
    idle("serviceUrlTls", "", NO_TLS),
    idle("configurationMetadataStoreUrl", "", STORE),
    idle("configurationStoreServers", "", STORE),
    idle("globalZookeeperServers", "", STORE),
    idle("metadataStoreSessionTimeoutMillis", "30000", STORE),
    idle("metadataStoreOperationTimeoutSeconds", "30", STORE),
    idle("metadataStoreCacheExpirySeconds", "300", STORE),
    idle("metadataStoreAllowReadOnlyOperations", "false", STORE),
    idle("zooKeeperSessionTimeoutMillis", "-1", STORE),
    idle("zooKeeperCacheExpirySeconds", "-1", STORE),
    // ---- Listener
    honoured("webServicePort", Type::Port, "8080", "", "port of HTTP and WebSocket; 0 takes a free one"),
    honoured("bindAddress", Type::Text, "0.0.0.0", "", "address or host name to listen on"),
    honoured("statusFilePath", Type::Text, "", "", "/status.html answers OK while this file exists"),
    honoured(
        "maxHttpServerConnections",
        number(0, INT_MAX),
        "0",
        "",
        "connections at most, an even share for each core; 0: as many as each core has room for",
    ),
    refused("webServicePortTls", &[], TLS_OFF),
    refused(
        "webServiceHaProxyProtocolEnabled",
        OFF,
        "the PROXY protocol is not available in this version; its first line would be a broken request",
    ),
    idle("webServiceTrustXForwardedFor", "false", "statistics name the address of the TCP connection"),
    idle("webServiceLogDetailedAddresses", "", "requests are not logged one by one"),
    idle("numHttpServerThreads", "", THREADS),
    idle("httpServerThreadPoolQueueSize", "8192", QUEUES),
    idle("httpServerAcceptQueueSize", "8192", QUEUES),
    idle("maxConcurrentHttpRequests", "1024", "a request that waits for a broker holds no thread here"),
    alias(
        "httpMaxRequestSize",
        "httpMaxRequestHeaderSize",
        1,
        "bytes",
        "requests of this API have no body: the size is the head's",
    ),
    // ---- WebSocket
    idle("webSocketServiceEnabled", "true", "serving WebSockets is all that pulsegate does"),
    idle("webSocketNumIoThreads", "", THREADS),
    idle("webSocketNumServiceThreads", "20", THREADS),
    idle("webSocketConnectionsPerBroker", "", "every core has one connection of its own to each broker"),
    honoured(
        "webSocketPulsarClientMemoryLimitInMB",
        number(0, 1 << 20),
        "0",
        "MiB",
        "unconfirmed messages of the whole process; 0: 512 MiB",
    ),
    honoured(
        "webSocketSessionIdleTimeoutMillis",
        number(INT_MIN, INT_MAX),
        "300000",
        "ms",
        "a session without a frame in either direction is closed; 0 or less: 300000",
    ),
    alias(
        "connectionTimeoutInSeconds",
        "webSocketSessionIdleTimeoutMillis",
        1000,
        "s",
        "webSocketSessionIdleTimeoutMillis in seconds",
    ),
    honoured(
        "webSocketMaxTextFrameSize",
        number(1, 128 << 20),
        "1048576",
        "bytes",
        "largest text message, fragments joined and inflated",
    ),
    alias("maxTextMessageSize", "webSocketMaxTextFrameSize", 1, "bytes", "webSocketMaxTextFrameSize"),
    honoured(
        "webSocketPingDurationSeconds",
        number(INT_MIN, INT_MAX),
        "-1",
        "s",
        "interval of pings to clients; 0 or less: none",
    ),
    // ---- Authentication and authorization of clients
    refused(
        "authenticationEnabled",
        OFF,
        "authentication is not available in this version; pulsegate will not run open where it was asked for",
    ),
    refused(
        "authorizationEnabled",
        OFF,
        "authorization is not available in this version; pulsegate will not run open where it was asked for",
    ),
    idle("authenticationProviders", "", NO_AUTH),
    idle(
        "authorizationProvider",
        "org.apache.pulsar.broker.authorization.PulsarAuthorizationProvider",
        "only read when authorizationEnabled is on, which this version refuses",
    ),
    idle("authorizationAllowWildcardsMatching", "false", NO_AUTH),
    idle("grantImplicitPermissionOnSubscription", "true", NO_AUTH),
    idle("superUserRoles", "", NO_AUTH),
    idle("anonymousUserRole", "", NO_AUTH),
    idle("tokenSecretKey", "", NO_AUTH),
    idle("tokenPublicKey", "", NO_AUTH),
    idle("tokenPublicAlg", "", NO_AUTH),
    idle("tokenAuthClaim", "", NO_AUTH),
    idle("tokenAudienceClaim", "", NO_AUTH),
    idle("tokenAudience", "", NO_AUTH),
    idle("tokenAllowedClockSkewSeconds", "", NO_AUTH),
    idle("tokenSettingPrefix", "", NO_AUTH),
    idle("basicAuthConf", "", NO_AUTH),
    idle("athenzDomainNames", "", NO_AUTH),
    idle("saslJaasClientAllowedIds", "", NO_AUTH),
    idle("saslJaasServerSectionName", "", NO_AUTH),
    idle("saslJaasServerRoleTokenSignerSecretPath", "", NO_AUTH),
    // ---- The gateway's own identity towards brokers
    honoured(
        "brokerClientAuthenticationPlugin",
        Type::Text,
        "",
        "",
        "token or org.apache.pulsar.client.impl.auth.AuthenticationToken; empty: none",
    ),
    honoured(
        "brokerClientAuthenticationParameters",
        Type::Secret,
        "",
        "",
        "token:... or file:///path, which is read again for every connection",
    ),
    refused("brokerClientTlsEnabled", OFF, TLS_OFF),
    idle("brokerClientTrustCertsFilePath", "", NO_TLS),
    idle("brokerClientCertificateFilePath", "", NO_TLS),
    idle("brokerClientKeyFilePath", "", NO_TLS),
    idle("brokerClientTlsEnabledWithKeyStore", "false", NO_TLS),
    idle("brokerClientTlsKeyStoreType", "JKS", NO_TLS),
    idle("brokerClientTlsKeyStore", "", NO_TLS),
    idle("brokerClientTlsKeyStorePassword", "", NO_TLS),
    idle("brokerClientTlsTrustStoreType", "JKS", NO_TLS),
    idle("brokerClientTlsTrustStore", "", NO_TLS),
    idle("brokerClientTlsTrustStorePassword", "", NO_TLS),
    idle("tlsHostnameVerificationEnabled", "true", NO_TLS),
    // ---- TLS
    refused("tlsEnabled", OFF, TLS_OFF),
    refused("tlsEnabledWithKeyStore", OFF, TLS_OFF),
    refused(
        "tlsRequireTrustedClientCertOnConnect",
        OFF,
        "this version checks no client certificates; pulsegate will not run open where it was asked for",
    ),
    idle("tlsAllowInsecureConnection", "false", NO_TLS),
    idle("tlsCertificateFilePath", "", NO_TLS),
    idle("tlsKeyFilePath", "", NO_TLS),
    idle("tlsTrustCertsFilePath", "", NO_TLS),
    idle("tlsCertRefreshCheckDurationSec", "300", NO_TLS),
    idle("tlsKeyStoreType", "JKS", NO_TLS),
    idle("tlsKeyStore", "", NO_TLS),
    idle("tlsKeyStorePassword", "", NO_TLS),
    idle("tlsTrustStoreType", "JKS", NO_TLS),
    idle("tlsTrustStore", "", NO_TLS),
    idle("tlsTrustStorePassword", "", NO_TLS),
    idle("webServiceTlsProtocols", "", NO_TLS),
    idle("webServiceTlsCiphers", "", NO_TLS),
    idle("tlsProvider", "", JVM),
    idle("webServiceTlsProvider", "Conscrypt", JVM),
    idle("jsseProvider", "", JVM),
    idle("jcaProvider", "", JVM),
    idle("tlsFactoryClassName", "", JVM),
    idle("tlsFactoryConfig", "", JVM),
    idle("sslFactoryPlugin", "org.apache.pulsar.common.util.DefaultPulsarSslFactory", JVM),
    idle("sslFactoryPluginParams", "", JVM),
    idle("brokerClientTlsFactoryClassName", "", JVM),
    idle("brokerClientTlsFactoryConfig", "", JVM),
    idle("brokerClientSslFactoryPlugin", "org.apache.pulsar.common.util.DefaultPulsarSslFactory", JVM),
    idle("brokerClientSslFactoryPluginParams", "", JVM),
    idle("brokerClientSslProvider", "", JVM),
    idle("brokerClientJsseProvider", "", JVM),
    idle("brokerClientJcaProvider", "", JVM),
    refused(
        "cryptoKeyReaderFactoryClassName",
        &[],
        "a Java key reader cannot be loaded; let producers encrypt, or leave this empty",
    ),
    // ---- pulsegate's own
    honoured(
        "httpMaxRequestHeaderSize",
        number(1024, 64 << 10),
        "8192",
        "bytes",
        "largest HTTP request head",
    ),
    honoured(
        "webSocketSessionPendingBytesMax",
        number(64 << 10, 1 << 30),
        "4194304",
        "bytes",
        "unconfirmed messages of one producer session; above, the session is not read from",
    ),
    honoured("cores", Type::Text, "", "", "processors to run on, as 0,2-3; empty: all that are allowed"),
    honoured("pin", Type::Flag, "false", "", "pin each core's thread to its processor"),
    honoured(
        "driver",
        Type::Choice(&["auto", "ring", "portable"]),
        "auto",
        "",
        "io_uring, readiness polling, or the best",
    ),
    honoured(
        "shutdownSpreadMillis",
        number(0, 3_600_000),
        "3000",
        "ms",
        "sessions are closed over this span, so that clients do not return all at once",
    ),
    honoured(
        "shutdownTimeoutMillis",
        number(1, 3_600_000),
        "10000",
        "ms",
        "the process ends this long after a signal",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_is_there_once_and_aliases_lead_to_honoured_keys() {
        for own in [KEYS, BROKER_KEYS] {
            let names: BTreeSet<_> = own.iter().map(|key| key.name).collect();
            assert_eq!(names.len(), own.len());
        }
        let both = [Program::Gateway, Program::Standalone];
        for (program, key) in both.iter().flat_map(|program| program.keys().map(move |key| (program, key))) {
            assert!(!key.help.is_empty(), "{}", key.name);
            if let Kind::Alias { of, scale } = key.kind {
                let target = program.find(of).unwrap_or_else(|| panic!("{}: no key {of}", key.name));
                assert!(
                    matches!(target.kind, Kind::Honoured(Type::Number { .. })) && scale > 0,
                    "{}",
                    key.name
                );
            }
        }
    }

    #[test]
    fn a_slip_of_the_pen_finds_its_key() {
        for (slip, meant) in [
            ("brokerServiceURL", Some("brokerServiceUrl")),
            ("brokerServicUrl", Some("brokerServiceUrl")),
            ("webservice.port", Some("webServicePort")),
            ("websocketMaxTextFrameSiz", Some("webSocketMaxTextFrameSize")),
            ("core", Some("cores")),
            ("managedLedgerDefaultEnsembleSize", None),
            ("x", None),
        ] {
            // "x" is near nothing but short names; what counts is that no far-fetched name is offered.
            assert_eq!(Program::Gateway.nearest(slip), meant, "{slip}");
        }
        assert_eq!(Program::Gateway.nearest(&"x".repeat(10_000)), None);
        assert_eq!(Program::Standalone.nearest("brokerServicPort"), Some("brokerServicePort"));
    }

    #[test]
    fn edit_distances_are_levenshteins() {
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("ab", "ba", 2),
        ] {
            assert_eq!(edit_distance(left, right), edits, "{left} {right}");
        }
    }
}
