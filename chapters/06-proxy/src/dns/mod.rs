//! placeholder
/// Flags of the DNS server.
#[derive(Debug, Clone, clap::Args)]
pub struct DnsConfig {}
/// x
pub async fn run(_: DnsConfig, _: component::CancellationToken) -> Result<(), crate::Error> {
    Ok(())
}
