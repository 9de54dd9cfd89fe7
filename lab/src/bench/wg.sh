# The script of `cargo xtask bench wg`: `sh wg.sh SIDE RUNS` for a number of peers whose files are
# in the working folder. Prints a line for each command: its name, ticks of 10 ms in user and in
# kernel mode for all runs, peak memory in KiB, system calls, and instructions in user mode.
#
# The machine counts instructions (`-icount`), so its CPU time is a number of instructions.
wg=$1 runs=$2
ref=/usr/bin/wg
# A program must be loaded at the same address each time; otherwise the emulator is slow.
echo 0 >/proc/sys/kernel/randomize_va_space

# Empties the interface. Not with a child of the shell whose children are measured.
mkfifo ask answer
while read -r question; do
	$ref setconf wg0 /dev/null
	echo done
done <ask >answer &
exec 3>ask 4<answer
empty() {
	echo please >&3
	read -r reply <&4
}

setconf() {
	empty
	"$@" $wg setconf wg0 base
}
# Each command changes one peer of the configuration before.
syncconf() {
	[ "$file" = changed ] && file=base || file=changed
	"$@" $wg syncconf wg0 $file
}
dump() {
	"$@" $wg show wg0 dump >/dev/null
}

# In a shell of its own, because the times are of all earlier children of a shell.
ticks() {
	(
		run=0
		while [ $run -lt $runs ]; do
			$1
			run=$((run + 1))
		done
		times
	) | tail -n 1
}

# The program is stopped before it ends, to read its memory and its peak. The kernel updates the
# peak in steps of 64 pages.
memory() {
	$1 strace -qq -o /dev/null -e trace=exit_group -e inject=exit_group:delay_enter=600000000 &
	until pid=$(pidof "${wg##*/}") && read -r call rest <"/proc/$pid/syscall" && [ "$call" = 231 ]; do
		:
	done 2>/dev/null
	awk '/^(VmHWM|Rss):/ { if ($2 > most) most = $2 } END { print most }' \
		"/proc/$pid/status" "/proc/$pid/smaps_rollup"
	kill -9 $(pidof strace) "$pid"
	wait $! 2>/dev/null
}

calls() {
	$1 strace -qq -c -o count
	awk 'END { print $4 }' count
}

# Instructions of the program alone. For a dynamic program, valgrind does not count the loading, and
# the loader's work is some ten thousand instructions.
instructions() {
	$1 valgrind.bin --tool=cachegrind --cache-sim=no --cachegrind-out-file=/dev/null --log-file=count \
		2>/dev/null
	sed -n 's/.*I *refs: *//p' count | tr -d ,
}

# Sets the interface to the first file, so that syncconf has one peer to change: the measured
# commands ran in a copy of this shell, whose final state is unknown here.
again() {
	[ $command != syncconf ] || $ref syncconf wg0 base
}

for command in setconf syncconf dump; do
	[ $command = setconf ] || $ref setconf wg0 base
	file=base
	counted=$(ticks $command)
	again
	most=$(memory $command)
	again
	called=$(calls $command)
	again
	echo "$command $counted $most $called $(instructions $command)"
done
exec 3>&-
