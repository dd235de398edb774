"""Every attack there is, by name; one module for each kind of attacker."""

from hostile.attacks import api_server, clients, collector, far_end, machine, trust

ATTACKS = {
    attack.name: attack
    for module in (clients, collector, far_end, api_server, trust, machine)
    for attack in module.ATTACKS
}
