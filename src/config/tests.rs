//! Settings from all their places, table by table.

use super::keys::{KEYS, Kind};
use super::*;

/// A file as operators have it: the keys of the original's own `websocket.conf`, with its values, and one
/// broker.
const OPERATORS_FILE: &str = "\
configurationMetadataStoreUrl=\nmetadataStoreSessionTimeoutMillis=30000\n\
metadataStoreCacheExpirySeconds=300\nserviceUrl=\nserviceUrlTls=\nbrokerServiceUrl=pulsar://broker:6650\n\
brokerServiceUrlTls=\nwebServicePort=8080\nwebServicePortTls=\nstatusFilePath=\nbindAddress=0.0.0.0\n\
webServiceHaProxyProtocolEnabled=false\nwebServiceTrustXForwardedFor=false\n\
webServiceLogDetailedAddresses=\nclusterName=\nwebSocketNumIoThreads=\nwebSocketNumServiceThreads=\n\
numHttpServerThreads=\nwebSocketConnectionsPerBroker=\nwebSocketPulsarClientMemoryLimitInMB=0\n\
webSocketSessionIdleTimeoutMillis=300000\nwebSocketMaxTextFrameSize=1048576\n\
httpServerThreadPoolQueueSize=8192\nhttpServerAcceptQueueSize=8192\nmaxHttpServerConnections=2048\n\
maxConcurrentHttpRequests=1024\nauthenticationEnabled=false\nauthenticationProviders=\n\
authorizationEnabled=false\n\
authorizationProvider=org.apache.pulsar.broker.authorization.PulsarAuthorizationProvider\n\
authorizationAllowWildcardsMatching=false\nsuperUserRoles=\nbrokerClientTlsEnabled=false\n\
brokerClientAuthenticationPlugin=\nbrokerClientAuthenticationParameters=\nbrokerClientTrustCertsFilePath=\n\
tlsHostnameVerificationEnabled=true\nanonymousUserRole=\ntlsEnabled=false\n\
tlsAllowInsecureConnection=false\ntlsCertificateFilePath=\ntlsKeyFilePath=\ntlsTrustCertsFilePath=\n\
tlsRequireTrustedClientCertOnConnect=false\ntlsCertRefreshCheckDurationSec=300\ntlsFactoryClassName=\n\
tlsFactoryConfig=\nbrokerClientTlsFactoryClassName=\nbrokerClientTlsFactoryConfig=\ntlsProvider=\n\
tlsEnabledWithKeyStore=false\ntlsKeyStoreType=JKS\ntlsKeyStore=\ntlsKeyStorePassword=\n\
tlsTrustStoreType=JKS\ntlsTrustStore=\ntlsTrustStorePassword=\nwebServiceTlsProtocols=\n\
webServiceTlsCiphers=\nglobalZookeeperServers=\nconfigurationStoreServers=\n\
zooKeeperSessionTimeoutMillis=-1\nzooKeeperCacheExpirySeconds=-1\ncryptoKeyReaderFactoryClassName=\n";

const BROKER: &str = "brokerServiceUrl=pulsar://b\n";

fn from_file(text: &str) -> Result<(Config, Settings), ConfigError> {
    load(&Sources { file: Some(("w.conf", text.as_bytes())), ..Sources::default() })
}

/// The configuration of a file that also names a broker, as its second line.
fn with(lines: &str) -> Config {
    from_file(&format!("{lines}\n{BROKER}")).unwrap_or_else(|error| panic!("{lines}: {error}")).0
}

/// The complaint about a file that also names a broker.
fn complaint(lines: &str) -> String {
    match from_file(&format!("{lines}\n{BROKER}")) {
        Ok(_) => panic!("{lines} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_file_as_operators_have_it_is_taken_as_it_is() {
    let (config, settings) = from_file(OPERATORS_FILE).unwrap();
    assert_eq!(settings.notes, [""; 0]);
    assert_eq!((config.bind.as_str(), config.port, config.connections_max), ("0.0.0.0", 8080, Some(2048)));
    assert_eq!(config.gateway.service, ServiceUrl::Binary(vec![("broker".into(), 6650)]));
    assert_eq!(config.gateway, GatewayConfig { service: config.gateway.service.clone(), ..with("").gateway });
}

#[test]
fn defaults_are_the_limits() {
    let config = with("");
    let gateway = GatewayConfig {
        service: ServiceUrl::Binary(vec![("b".into(), 6650)]),
        text_max: limit::TEXT_MESSAGE_MAX,
        http_head_max: limit::HTTP_HEAD_MAX,
        session_idle: limit::SESSION_IDLE_MAX,
        ping_interval: None,
        session_pending_bytes_max: limit::SESSION_PENDING_BYTES_MAX,
        process_pending_bytes_max: limit::PROCESS_PENDING_BYTES_MAX,
        status_file: None,
        broker_token: None,
        cluster: "standalone".into(),
    };
    let expected = Config {
        bind: "0.0.0.0".into(),
        port: 8080,
        cores: None,
        pin: false,
        driver: DriverChoice::Auto,
        connections_max: None,
        shutdown_spread: limit::DRAIN_SPREAD,
        shutdown_time_max: limit::DRAIN_TIME_MAX,
        gateway,
    };
    assert_eq!(config, expected);
}

#[test]
fn honoured_keys_reach_their_values() {
    let idle = |millis| Duration::from_millis(millis);
    assert_eq!(with("webSocketSessionIdleTimeoutMillis=2000").gateway.session_idle, idle(2000));
    assert_eq!(with("webSocketSessionIdleTimeoutMillis=0").gateway.session_idle, idle(300_000));
    assert_eq!(with("webSocketSessionIdleTimeoutMillis=-5").gateway.session_idle, idle(300_000));
    assert_eq!(with("webSocketSessionIdleTimeoutMillis=").gateway.session_idle, idle(300_000));
    assert_eq!(with("connectionTimeoutInSeconds=7").gateway.session_idle, idle(7000));
    assert_eq!(with("maxTextMessageSize=2000").gateway.text_max, 2000);
    assert_eq!(with("maxTextMessageSize=2000\nwebSocketMaxTextFrameSize=3000").gateway.text_max, 3000);
    assert_eq!(with("httpMaxRequestSize=4096").gateway.http_head_max, 4096);
    assert_eq!(with("webSocketPingDurationSeconds=2").gateway.ping_interval, Some(Duration::from_secs(2)));
    assert_eq!(with("webSocketPingDurationSeconds=0").gateway.ping_interval, None);
    assert_eq!(with("statusFilePath=/tmp/up").gateway.status_file, Some("/tmp/up".into()));
    assert_eq!(with("clusterName=c").gateway.cluster, "c");
    assert_eq!(with("cores=0,2-3").cores, Some(vec![0, 2, 3]));
    assert!(with("pin=TRUE").pin);
    assert_eq!(with("driver=Portable").driver, DriverChoice::Portable);
    assert_eq!(with("maxHttpServerConnections=0").connections_max, None);
    assert_eq!(with("webServicePort=0").port, 0);
    let token = "brokerClientAuthenticationPlugin=token\nbrokerClientAuthenticationParameters=token:abc";
    assert_eq!(with(token).gateway.broker_token, Some(BrokerCredentials::Token("abc".into())));
}

#[test]
fn budgets_nobody_set_make_room_for_what_was_set() {
    let budgets = |lines: &str| {
        let gateway = with(lines).gateway;
        assert!(gateway.text_max < gateway.session_pending_bytes_max, "{lines}");
        assert!(gateway.session_pending_bytes_max <= gateway.process_pending_bytes_max, "{lines}");
        (gateway.session_pending_bytes_max, gateway.process_pending_bytes_max)
    };
    assert_eq!(budgets("webSocketMaxTextFrameSize=8388608"), (16 << 20, limit::PROCESS_PENDING_BYTES_MAX));
    assert_eq!(budgets("webSocketPulsarClientMemoryLimitInMB=2"), (2 << 20, 2 << 20));
    assert_eq!(budgets("webSocketSessionPendingBytesMax=2097152").0, 2 << 20);
    assert_eq!(budgets("webSocketSessionPendingBytesMax=1073741824"), (1 << 30, 2 << 30));
    assert!(complaint("webSocketSessionPendingBytesMax=65536").contains("set at least 1048577"));
    assert!(complaint("webSocketPulsarClientMemoryLimitInMB=1").contains("set at least 4"));
}

#[test]
fn security_that_was_asked_for_is_never_ignored() {
    for (line, reason) in [
        ("authenticationEnabled=true", "will not run open"),
        ("authenticationEnabled=yes", "will not run open"),
        ("authorizationEnabled=true", "will not run open"),
        ("webServicePortTls=8443", "TLS is not available"),
        ("tlsEnabled=true", "TLS is not available"),
        ("brokerClientTlsEnabled=true", "TLS is not available"),
        ("tlsRequireTrustedClientCertOnConnect=true", "will not run open"),
        ("webServiceHaProxyProtocolEnabled=true", "PROXY protocol"),
        ("cryptoKeyReaderFactoryClassName=org.example.Keys", "Java key reader"),
        ("brokerClientAuthenticationPlugin=org.example.Auth", "only tokens"),
        ("brokerClientAuthenticationPlugin=AuthenticationToken", "only tokens"),
    ] {
        let complaint = complaint(line);
        let (key, _) = line.split_once('=').unwrap();
        assert!(complaint.contains(reason) && complaint.contains(key), "{line}: {complaint}");
    }
    assert!(
        !complaint("brokerClientAuthenticationPlugin=x\nbrokerClientAuthenticationParameters=s3cret")
            .contains("s3cret")
    );
}

#[test]
fn wrong_values_are_named_with_place_and_mend() {
    for (line, expected) in [
        ("webServicePort=http", r#"w.conf:1: webServicePort: "http" is no number between 0 and 65535"#),
        ("webServicePort=65536", r#"w.conf:1: webServicePort: "65536" is no number between 0 and 65535"#),
        (
            "webServicePort=",
            "w.conf:1: webServicePort: is empty, so there is nothing to listen on; set webServicePort=8080",
        ),
        (
            "\nmaxTextMessageSize=0",
            r#"w.conf:2: maxTextMessageSize: "0" is no number between 1 and 134217728"#,
        ),
        ("pin=maybe", r#"w.conf:1: pin: "maybe" is neither true nor false"#),
        ("driver=epoll", r#"w.conf:1: driver: "epoll" is none of auto, ring, portable"#),
        ("cores=3-1", r#"w.conf:1: cores: "3-1" is no processor or range of processors; write it as 0,2-3"#),
        ("cores=1,1", "w.conf:1: cores: names a processor twice: each core of pulsegate needs its own"),
        (
            "cores=0-99999999999",
            r#"w.conf:1: cores: "0-99999999999" is no processor or range of processors; write it as 0,2-3"#,
        ),
        ("brokerServicUrl=x", "w.conf:1: unknown setting brokerServicUrl; did you mean brokerServiceUrl?"),
        ("managedLedgerCacheSizeMB=1", "w.conf:1: unknown setting managedLedgerCacheSizeMB"),
        ("a=\\u1", "w.conf: line 1: \\u must be followed by four hexadecimal digits"),
        (
            "shutdownTimeoutMillis=10",
            "default: shutdownSpreadMillis: is longer than shutdownTimeoutMillis: sessions would be cut off",
        ),
    ] {
        assert_eq!(complaint(line), expected, "{line}");
    }
}

#[test]
fn every_fault_is_reported_at_once() {
    let Err(ConfigError(faults)) = from_file("tlsEnabled=true\npin=x\nnope=1") else { panic!("accepted") };
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn brokers_are_named_or_asked_for() {
    let service = |text: &str| from_file(text).map(|(config, _)| config.gateway.service.to_string());
    let both = "serviceUrl=http://h:8080\nbrokerServiceUrl=pulsar://b";
    assert_eq!(service(both).unwrap(), "pulsar://b:6650");
    assert_eq!(service("serviceUrl=http://h:8080").unwrap(), "http://h:8080");
    assert!(service("").unwrap_err().to_string().contains("set brokerServiceUrl=pulsar://HOST:6650"));
    assert!(service("brokerServiceUrl=pulsar+ssl://h").unwrap_err().to_string().contains("needs TLS"));
}

#[test]
fn keys_without_effect_leave_a_note_and_nothing_else() {
    let (config, settings) =
        from_file(&format!("{BROKER}numHttpServerThreads=9\nbrokerClient_x=1\ntlsKeyStorePassword=s3cret"))
            .unwrap();
    assert_eq!(config, with(""));
    assert_eq!(settings.notes.len(), 3, "{:?}", settings.notes);
    assert!(settings.notes[0].starts_with("w.conf:2: numHttpServerThreads has no effect: "));
    assert!(!settings.print().contains("s3cret"));
}

#[test]
fn the_later_place_wins() {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let file = format!("{BROKER}webServicePort=1\nclusterName=file\nbindAddress=file");
    let environment = [
        pair("PULSAR_PREFIX_webServicePort", "3"),
        pair("webServicePort", "2"),
        pair("clusterName", "plain"),
        pair("bindAddress", "plain"),
        pair("cores", "a variable of another program"),
        pair("PULSAR_PREFIX_managedLedgerCacheSizeMB", "1"),
        pair("HOME", "/"),
    ];
    let overrides = [("bindAddress".to_owned(), "option".to_owned(), "--set")];
    let sources = Sources {
        file: Some(("w.conf", file.as_bytes())),
        environment: &environment,
        overrides: &overrides,
        ..Sources::default()
    };
    let (config, settings) = load(&sources).unwrap();
    assert_eq!((config.port, config.gateway.cluster.as_str(), config.bind.as_str()), (3, "plain", "option"));
    assert_eq!(settings.of("brokerServiceUrl").1, &Origin::File { path: "w.conf".into(), line: 1 });
    assert_eq!(settings.of("webServicePort").1, &Origin::Environment("PULSAR_PREFIX_webServicePort".into()));
    assert_eq!(settings.of("bindAddress").1, &Origin::Option("--set"));
    assert_eq!(settings.of("pin").1, &Origin::Default);
    assert_eq!(settings.notes.len(), 1, "{:?}", settings.notes);
}

#[test]
fn the_printed_settings_are_a_file_that_means_the_same() {
    let text = format!("{BROKER}cores=1\nstatusFilePath=/a\\\\b\\nc\nwebSocketPingDurationSeconds=5");
    let (config, settings) = from_file(&text).unwrap();
    assert_eq!(from_file(&settings.print()).unwrap().0, config);
    let token = "brokerClientAuthenticationPlugin=token\nbrokerClientAuthenticationParameters=";
    let print = |parameters: &str| from_file(&format!("{BROKER}{token}{parameters}")).unwrap().1.print();
    assert!(!print("token:s3cret").contains("s3cret"));
    assert!(print("file:///etc/token").contains("=file:///etc/token\n"));
}

#[test]
fn every_key_can_be_set_to_its_default() {
    for key in KEYS {
        let text = format!("{}={}", key.name, key.default);
        assert!(!matches!(key.kind, Kind::Refused { .. }) || key.default.is_empty(), "{text}");
        assert_eq!(with(&text), with(""), "{text}");
    }
}
