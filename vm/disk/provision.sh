# SPDX-License-Identifier: Apache-2.0
# Runs in the new root, before it ever boots.
set -e
chown -R root:root /etc
chmod 600 /etc/ssh/ssh_host_ed25519_key
rm -f /etc/ssh/ssh_host_rsa_key* /etc/ssh/ssh_host_ecdsa_key*
mkdir -p /opt/alps
passwd -d root
systemctl set-default multi-user.target
systemctl enable alps-net ssh docker
systemctl disable systemd-networkd systemd-network-generator
# Nobody waits for these, and an emulated boot is long enough.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
	e2scrub_reap.service fstrim.timer man-db.timer systemd-timesyncd.service \
	systemd-networkd-wait-online.service systemd-pstore.service systemd-random-seed.service \
	systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-journal-flush.service \
	systemd-machine-id-commit.service getty@tty1.service systemd-hwdb-update.service \
	ldconfig.service systemd-binfmt.service systemd-udev-settle.service \
	systemd-networkd.socket systemd-modules-load.service systemd-sysusers.service \
	systemd-user-sessions.service sys-kernel-config.mount dev-hugepages.mount \
	modprobe@configfs.service modprobe@dm_mod.service modprobe@drm.service \
	modprobe@efi_pstore.service modprobe@fuse.service modprobe@loop.service; do
	systemctl mask "$unit" || true
done
mkdir -p /etc/systemd/system/serial-getty@ttyS0.service.d /etc/systemd/journald.conf.d
printf '[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200 %%I linux\n' \
	>/etc/systemd/system/serial-getty@ttyS0.service.d/autologin.conf
printf '[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\n' >/etc/systemd/journald.conf.d/alps.conf
echo 5f0d9e0c6b3a4c1d8e2f7a9b1c3d5e7f >/etc/machine-id # guests are thrown away: one id for all
