"""What the diagnostics of a cooperative step say of its health."""

from collections.abc import Mapping

from coopcut.engine.position import Position
from coopcut.options.option import Options


def advice(opt: Options, losses: Mapping[str, float], position: Position) -> list[str]:
    """Warnings when the diagnostics are outside their healthy range, each naming the option to change.

    Of the sampler none in the first 100 steps, before D has a slope; of what no slope excuses from the first on.
    """
    if "f_revised" not in losses:
        return []
    found = []
    young = position.step < 100
    stops = opt.langevin_stop or (opt.langevin_adaptive and opt.langevin_step_size == 0)
    at_rest = stops and losses["displacement"] == 0  # all scored as high as real images before
    far = "--langevin_step_size" if opt.langevin_step_size > 0 else "--langevin_displacement"
    if losses["f_revised"] <= losses["f_fake"] and not at_rest and not young:
        found.append(f"the revision lowers the score: it overshoots; lower {far} or raise --langevin_steps")
    if losses["displacement"] < 0.005 and not stops and not young:
        found.append(f"the revision hardly moves the images; raise {far} or --langevin_clip")
    elif losses["displacement"] > 0.2:
        found.append(f"the revision moves the images far; lower {far} or --langevin_clip")
    if losses["saturated"] > max(losses["saturated_fake"], losses["saturated_real"]) + 0.2:
        found.append(f"the revision saturates pixels; lower {far} or --langevin_clip")
    if losses["saturated_fake"] > losses["saturated_real"] + 0.1:
        found.append("G's images saturate before any revision; lower --lr")
    if "D_fake" in losses or opt.lambda_energy == 0:  # the adversarial loss wants D to win; energies without a scale
        return found
    most = 1 / max(opt.lambda_energy, 0.1)  # the gap of a D that tells every patch apart
    if 0.8 * most < losses["gap"] <= most and not young:
        found.append(f"D has won: it tells revised images from real ones; raise {far}")
    elif abs(losses["gap"]) > most:
        found.append("the energies of real and revised images run apart; raise --lambda_energy or lower --lr")
    told = max(abs(losses["gap"]), abs(losses["f_revised"] - losses["f_fake"]))
    if position.step >= 200 and told < 0.01 * min(1, most) and not at_rest:
        or_else = "start with --init_type kaiming" if stops else "add --langevin_stop"
        found.append(f"the energies are flat: there is nothing to teach; lower {far}, or {or_else}")
    if losses["D"] > 0.5 * most and not young:
        found.append("the likelihood loss of D is far above 0, the loss of energies that are 0; lower --lr")
    return found
