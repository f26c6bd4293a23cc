"""The templates of the full phone that stay in one app, by name."""

from __future__ import annotations

from typing import Final

from devices.phone.tasks.daily_tasks import (
    add_alarm,
    create_note,
    delete_alarm,
    delete_note,
    like_song,
    pin_note,
    play_song,
    set_alarm,
    set_timer,
)
from devices.phone.tasks.goods_tasks import (
    compute,
    count_files,
    delete_file,
    empty_cart,
    fill_cart,
    move_file,
    order_product,
    tell_price,
)
from devices.phone.tasks.people_tasks import (
    add_contact,
    call_contact,
    delete_chat,
    delete_contact,
    hang_up,
    send_message,
    set_favourite,
    start_chat,
    tell_number,
)
from devices.phone.tasks.settings_tasks import (
    open_an_app,
    set_brightness,
    set_language,
    set_ringtone,
    set_switch,
    set_two_switches,
)
from devices.phone.tasks.task import Build

SINGLE_APP_TEMPLATES: Final[dict[str, Build]] = {
    "open_app": open_an_app,
    "set_switch": set_switch,
    "set_two_switches": set_two_switches,
    "set_brightness": set_brightness,
    "set_ringtone": set_ringtone,
    "set_language": set_language,
    "call_contact": call_contact,
    "hang_up": hang_up,
    "add_contact": add_contact,
    "delete_contact": delete_contact,
    "set_favourite": set_favourite,
    "tell_number": tell_number,
    "send_message": send_message,
    "start_chat": start_chat,
    "delete_chat": delete_chat,
    "create_note": create_note,
    "delete_note": delete_note,
    "pin_note": pin_note,
    "set_alarm": set_alarm,
    "add_alarm": add_alarm,
    "delete_alarm": delete_alarm,
    "set_timer": set_timer,
    "play_song": play_song,
    "like_song": like_song,
    "compute": compute,
    "delete_file": delete_file,
    "move_file": move_file,
    "count_files": count_files,
    "order_product": order_product,
    "fill_cart": fill_cart,
    "empty_cart": empty_cart,
    "tell_price": tell_price,
}
