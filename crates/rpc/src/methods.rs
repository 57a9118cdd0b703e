//! The methods of our contracts, by name.

use prost::Message as _;
use prost_types::FileDescriptorSet;
use std::{collections::HashMap, sync::LazyLock};

/// By `package.Service/Method`: whether it answers with a stream.
static METHODS: LazyLock<HashMap<String, bool>> = LazyLock::new(|| {
    let contracts = FileDescriptorSet::decode(proto::DESCRIPTORS);
    let files = contracts.expect("our own descriptors are valid").file;
    let methods = files.iter().flat_map(|file| {
        file.service.iter().flat_map(|service| {
            let of = format!("{}.{}", file.package(), service.name());
            let methods = service.method.iter();
            methods
                .map(move |method| (format!("{of}/{}", method.name()), method.server_streaming()))
        })
    });
    methods.collect()
});

/// The method that is called at a path, unless its caller made it up.
pub(crate) fn name(path: &str) -> Option<&'static str> {
    let (name, _) = METHODS.get_key_value(path.trim_start_matches('/'))?;
    Some(name)
}

/// The same, if it answers with a stream.
pub(crate) fn stream(path: &str) -> Option<&'static str> {
    let (name, is_stream) = METHODS.get_key_value(path.trim_start_matches('/'))?;
    is_stream.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::stream;

    #[test]
    fn watches_are_streams_and_nothing_else_is() {
        let known = "/coffeeshop.reception.v1.ReceptionService/WatchOrder";
        assert_eq!(stream(known), Some(&known[1..]));
        for other in ["PlaceOrder", "WatchRob", ""] {
            let path = format!("/coffeeshop.reception.v1.ReceptionService/{other}");
            assert_eq!(stream(&path), None, "{other}");
        }
    }
}
