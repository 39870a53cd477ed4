//! Paths and queries of requests (broker 6.0): split while still encoded, each element decoded once, `+` as a space.

/// Elements of a path, decoded. A slash at the end is tolerated; an empty element elsewhere is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path(Vec<String>);

/// Parameters of a query in order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Path {
    /// Reads a path that begins with a slash. `None`: a `%` sequence is malformed, or it is not UTF-8.
    pub fn read(path: &str) -> Option<Path> {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        path.split('/').map(decode).collect::<Option<Vec<_>>>().map(Path)
    }

    /// A path of the older interface, whose topics have a cluster, as that of the present one: tenant and cluster stand for tenant and
    /// namespace, and the rest is one element (`/admin/persistent/t/c/n/x` is `/admin/v2/persistent/t/c/n%2Fx`; lookups likewise).
    pub fn of_today(self) -> Path {
        let elements = self.elements();
        let (root, topic) = match elements[..] {
            ["admin", "persistent" | "non-persistent", ..] => (["admin", "v2"].as_slice(), &elements[1..]),
            ["lookup", "v2", "destination", ..] => (["lookup", "v2", "topic"].as_slice(), &elements[3..]),
            _ => return self,
        };
        let [domain, tenant, cluster, namespace, local, rest @ ..] = topic else { return self };
        let name = format!("{namespace}/{local}");
        let named = [*domain, *tenant, *cluster, name.as_str()];
        let all = root.iter().chain(&named).chain(rest);
        Path(all.map(|element| (*element).to_owned()).collect())
    }

    /// Its elements.
    pub fn elements(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).collect()
    }

    /// One element; empty if there are not so many.
    pub fn at(&self, index: usize) -> &str {
        self.0.get(index).map_or("", String::as_str)
    }
}

impl Query {
    /// Reads what follows the question mark.
    pub fn read(query: &str) -> Option<Query> {
        let pair = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(key)?, decode(value)?))
        };
        query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect::<Option<Vec<_>>>().map(Query)
    }

    /// First value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A parameter that is `true`. Anything else is not.
    pub fn flag(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

fn decode(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'%' => {
                let pair = bytes.get(at + 1..at + 3).filter(|pair| pair.iter().all(u8::is_ascii_hexdigit))?;
                out.push(u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?);
                at += 2;
            }
            b'+' => out.push(b' '),
            byte => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_decoded_once_and_after_the_split() {
        let path = Path::read("/admin/v2/persistent/public/default/a%2Fb+c%2525/stats/").expect("a path");
        let expected = ["admin", "v2", "persistent", "public", "default", "a/b c%25", "stats"];
        assert_eq!(path.elements(), expected);
        assert_eq!(Path::read("//x").expect("a path").elements(), ["", "x"]);
        for bad in ["/%", "/%4", "/%zz", "/%+1", "/%ff"] {
            assert_eq!(Path::read(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_with_a_cluster_are_one_element_more() {
        let today = |path: &str| Path::read(path).expect("a path").of_today();
        let stats = ["admin", "v2", "persistent", "t", "c", "n/x/y", "stats"];
        assert_eq!(today("/admin/persistent/t/c/n/x%2Fy/stats").elements(), stats);
        let lookup = ["lookup", "v2", "topic", "persistent", "t", "c", "n/x"];
        assert_eq!(today("/lookup/v2/destination/persistent/t/c/n/x").elements(), lookup);
        for same in
            ["/admin/persistent/t/c/n", "/admin/v2/persistent/t/n/x", "/admin", "/lookup/v2/destination"]
        {
            assert_eq!(today(same), Path::read(same).expect("a path"), "{same}");
        }
    }

    #[test]
    fn parameters_are_found_by_their_first_value() {
        let query = Query::read("force=TRUE&a=1&a=2&b&&c=%26").expect("a query");
        assert!(query.flag("force") && !query.flag("a") && !query.flag("b") && !query.flag("none"));
        assert_eq!((query.get("a"), query.get("b"), query.get("c")), (Some("1"), Some(""), Some("&")));
        assert_eq!(Query::read("a=%"), None);
    }
}
