//! What wraps every gRPC call, inbound and outbound.
