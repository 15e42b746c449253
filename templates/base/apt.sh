# shellcheck shell=bash
# Sourced by scripts of recipes that have the host's package sources.

# Gives this sandbox's apt the host's sources, keys and, of its settings, only what says how
# archives are reached: hooks of the host's packages have no business here. A proxy on the host's
# own loopback cannot be reached from a sandbox.
prepare_apt() {
  local inputs=/build/inputs settings
  mkdir -p /etc/apt/apt.conf.d /etc/apt/trusted.gpg.d /etc/apt/sources.list.d
  cp -r "$inputs/apt/." /etc/apt/
  settings=$(apt-config dump)
  rm -rf /etc/apt/apt.conf /etc/apt/apt.conf.d/*
  {
    grep -E '^Acquire::(https?::|Retries|Check-Valid-Until|Check-Date|ForceIPv[46]) ?' \
      <<<"$settings" | grep -Ev '//(\[::1\]|localhost|127\.[0-9.]+)[:/"]' || true
    echo 'Acquire::Retries "3";'
    # The sandbox is the fence; its own user for downloads could not enter the tree.
    echo 'APT::Sandbox::User "root";'
  } >/etc/apt/apt.conf.d/build
}
